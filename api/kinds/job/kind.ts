import type { Job } from '../../gen/types.ts';
import { setJobTemplateDefaults } from '../../job-spec/defaults.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { nameWarnings, templateWarnings } from '../../pod-spec/warnings.ts';
import { jobs } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { jobColumns } from './columns.ts';
import { controllerUidLabels, jobNameLabels } from './labels.ts';
import { validateJob, validateJobStatus } from './validate.ts';

const unlimitedBackoff = 2 ** 31 - 1;

function setDefaults(object: Job): void {
  const { spec } = object;
  if (spec === undefined) return;
  if (spec.completions === undefined && spec.parallelism === undefined) spec.completions = 1;
  spec.parallelism ??= 1;
  spec.backoffLimit ??= spec.backoffLimitPerIndex === undefined ? 6 : unlimitedBackoff;
  const labels = spec.template?.metadata?.labels;
  if (labels !== undefined && Object.keys(object.metadata?.labels ?? {}).length === 0) (object.metadata ??= {}).labels = { ...labels };
  spec.completionMode ??= 'NonIndexed';
  spec.suspend ??= false;
  spec.podReplacementPolicy ??= spec.podFailurePolicy === undefined ? 'TerminatingOrFailed' : 'Failed';
  spec.manualSelector ??= false;
  setJobTemplateDefaults(spec);
}

/** Labels of the pods that no other Job's pods have, and a selector for them. A label that is there already is left for `validate` to judge. */
function generateSelector({ metadata, spec }: Job): void {
  if (spec?.template === undefined || spec.manualSelector === true) return;
  const labels = ((spec.template.metadata ??= {}).labels ??= {});
  for (const name of jobNameLabels) labels[name] ??= metadata?.name ?? '';
  for (const name of controllerUidLabels) labels[name] ??= metadata?.uid ?? '';
  const selected = ((spec.selector ??= {}).matchLabels ??= {});
  if (controllerUidLabels.every((name) => selected[name] === undefined)) selected[controllerUidLabels[0]] = metadata?.uid ?? '';
}

export const job: KindDefinition<Job> = {
  resource: jobs,
  singular: 'job',
  shortNames: [],
  categories: ['all'],
  schema: () => schemaNamed('Job'),
  storage: 'durable',
  status: true,
  nameRule: 'dns-subdomain',
  setDefaults,
  prepareForCreate: (object) => {
    object.status = {};
    generateSelector(object);
  },
  validate: validateJob,
  validateStatus: validateJobStatus,
  warnings: (object, old) => [...old === undefined ? nameWarnings(object.metadata, 'Pod names and hostnames') : [], ...templateWarnings(object.spec?.template, 'spec.template')],
  selectableFields: { 'status.successful': ({ status }) => String(status?.succeeded ?? 0) },
  columns: jobColumns,
};
