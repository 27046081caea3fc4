import type { CronJob, CronJobSpec } from '../../gen/types.ts';
import { scheduleProblem } from '../../cron/schedule.ts';
import { timeZoneProblem } from '../../cron/time-zone.ts';
import { setJobTemplateDefaults } from '../../job-spec/defaults.ts';
import { validateJobSpec } from '../../job-spec/validate.ts';
import { ageColumn, column, nameColumn, wideColumn } from '../../meta/columns.ts';
import { invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { named, notNegative, supported } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { ageSince } from '../../meta/table.ts';
import { containerImages, containerNames, printSelector } from '../../pod-spec/columns.ts';
import { templateWarnings } from '../../pod-spec/warnings.ts';
import { cronJobs } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

/** A Job's name adds a time to its CronJob's, and has to fit into a label. */
const maxName = 52;

function setDefaults({ spec }: CronJob): void {
  if (spec === undefined) return;
  spec.concurrencyPolicy ||= 'Allow';
  spec.suspend ??= false;
  spec.successfulJobsHistoryLimit ??= 3;
  spec.failedJobsHistoryLimit ??= 1;
  if (spec.jobTemplate?.spec !== undefined) setJobTemplateDefaults(spec.jobTemplate.spec);
}

function validateSchedule({ schedule, timeZone }: CronJobSpec, old: CronJobSpec | undefined): FieldError[] {
  if (!schedule) return [required('spec.schedule')];
  const errors = named('spec.schedule', schedule, scheduleProblem);
  if (schedule.includes('TZ')) {
    // Only what had it before the field came may keep it.
    if (old?.schedule.includes('TZ') !== true) errors.push(invalid('spec.schedule', schedule, 'cannot use TZ or CRON_TZ in schedule, use timeZone field instead'));
    else if (timeZone !== undefined) errors.push(invalid('spec.schedule', schedule, 'cannot use both timeZone field and TZ or CRON_TZ in schedule'));
  }
  return timeZone === undefined || timeZone === old?.timeZone ? errors : [...errors, ...named('spec.timeZone', timeZone, timeZoneProblem)];
}

function validate({ metadata, spec }: CronJob, old?: CronJob): FieldError[] {
  if (spec === undefined) return [required('spec.schedule'), required('spec.jobTemplate')];
  const errors = validateSchedule(spec, old?.spec);
  errors.push(...supported('spec.concurrencyPolicy', spec.concurrencyPolicy, ['Allow', 'Forbid', 'Replace']));
  for (const name of ['startingDeadlineSeconds', 'successfulJobsHistoryLimit', 'failedJobsHistoryLimit'] as const) errors.push(...notNegative(`spec.${name}`, spec[name]));
  const job = spec.jobTemplate?.spec;
  if (job === undefined) errors.push(required('spec.jobTemplate.spec.template'));
  else {
    errors.push(...validateJobSpec(job, 'spec.jobTemplate.spec'));
    if (job.selector !== undefined) errors.push(invalid('spec.jobTemplate.spec.selector', job.selector, '`selector` will be auto-generated'));
    if (job.manualSelector === true) errors.push(notSupported('spec.jobTemplate.spec.manualSelector', true, ['nil', 'false']));
  }
  const name = metadata?.name ?? '';
  if (old === undefined && name.length > maxName) errors.push(invalid('metadata.name', name, `must be no more than ${maxName} characters`));
  return errors;
}

function suspended({ spec }: CronJob): string {
  return spec?.suspend === undefined ? '<unset>' : spec.suspend ? 'True' : 'False';
}

export const cronJob: KindDefinition<CronJob> = {
  resource: cronJobs,
  singular: 'cronjob',
  shortNames: ['cj'],
  categories: ['all'],
  schema: () => schemaNamed('CronJob'),
  storage: 'durable',
  status: true,
  nameRule: 'dns-subdomain',
  setDefaults,
  prepareForCreate: (object) => { object.status = {}; },
  validate,
  warnings: ({ spec }) => templateWarnings(spec?.jobTemplate?.spec?.template, 'spec.jobTemplate.spec.template'),
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Schedule', 'When it starts a Job', ({ spec }) => spec?.schedule ?? ''),
    column('Timezone', 'Where the schedule is read; the server\'s own when there is none', ({ spec }) => spec?.timeZone ?? '<none>'),
    column('Suspend', 'Whether it is held', suspended),
    column('Active', 'How many of its Jobs run', ({ status }) => (status?.active ?? []).length, 'integer'),
    column('Last Schedule', 'Time since it started a Job', ({ status }, nowMs) => (status?.lastScheduleTime === undefined ? '<none>' : ageSince(status.lastScheduleTime, nowMs))),
    ageColumn(),
    wideColumn('Containers', 'Names of the containers of the template', ({ spec }) => containerNames(spec?.jobTemplate?.spec?.template)),
    wideColumn('Images', 'Images of the containers of the template', ({ spec }) => containerImages(spec?.jobTemplate?.spec?.template)),
    wideColumn('Selector', 'Labels of the pods that belong to the object', ({ spec }) => printSelector(spec?.jobTemplate?.spec?.selector)),
  ],
};
