import type { CronJob, Job } from '#api/gen/types.ts';
import { printSelector } from '#api/pod-spec/columns.ts';
import { humanAge } from '../printing/age.ts';
import { controllerOf, describeLabels, describeName, rfc1123 } from './metadata.ts';
import { describeTemplate } from './pod-spec.ts';
import type { Describe } from './types.ts';

const unset = '<unset>';

export const describeJob: Describe<Job> = (writer, { metadata, spec, status }) => {
  describeName(writer, metadata);
  writer.row(0, 'Selector:', printSelector(spec?.selector));
  describeLabels(writer, metadata);
  const controller = controllerOf(metadata);
  if (controller !== undefined) writer.row(0, 'Controlled By:', controller);
  if (spec?.parallelism !== undefined) writer.row(0, 'Parallelism:', spec.parallelism);
  writer.row(0, 'Completions:', spec?.completions ?? unset);
  if (spec?.completionMode !== undefined) writer.row(0, 'Completion Mode:', spec.completionMode);
  if (spec?.suspend !== undefined) writer.row(0, 'Suspend:', spec.suspend);
  if (spec?.backoffLimit !== undefined) writer.row(0, 'Backoff Limit:', spec.backoffLimit);
  if (spec?.ttlSecondsAfterFinished !== undefined) writer.row(0, 'TTL Seconds After Finished:', spec.ttlSecondsAfterFinished);
  if (status?.startTime !== undefined) writer.row(0, 'Start Time:', rfc1123(status.startTime));
  if (status?.completionTime !== undefined) writer.row(0, 'Completed At:', rfc1123(status.completionTime));
  if (status?.startTime !== undefined && status.completionTime !== undefined) writer.row(0, 'Duration:', humanAge(Date.parse(status.completionTime) - Date.parse(status.startTime)));
  if (spec?.activeDeadlineSeconds !== undefined) writer.row(0, 'Active Deadline Seconds:', `${String(spec.activeDeadlineSeconds)}s`);
  const ready = status?.ready === undefined ? '' : ` (${String(status.ready)} Ready)`;
  writer.row(0, 'Pods Statuses:', `${String(status?.active ?? 0)} Active${ready} / ${String(status?.succeeded ?? 0)} Succeeded / ${String(status?.failed ?? 0)} Failed`);
  if (spec?.completionMode === 'Indexed') writer.row(0, 'Completed Indexes:', status?.completedIndexes || '<none>');
  describeTemplate(writer, spec?.template);
  return Promise.resolve();
};

export const describeCronJob: Describe<CronJob> = (writer, { metadata, spec, status }) => {
  const job = spec?.jobTemplate.spec;
  describeName(writer, metadata);
  describeLabels(writer, metadata);
  writer.row(0, 'Schedule:', spec?.schedule ?? '');
  if (spec?.timeZone !== undefined) writer.row(0, 'Time Zone:', spec.timeZone);
  writer.row(0, 'Concurrency Policy:', spec?.concurrencyPolicy ?? '').row(0, 'Suspend:', spec?.suspend === undefined ? unset : spec.suspend ? 'True' : 'False');
  writer.row(0, 'Successful Job History Limit:', spec?.successfulJobsHistoryLimit ?? unset).row(0, 'Failed Job History Limit:', spec?.failedJobsHistoryLimit ?? unset);
  writer.row(0, 'Starting Deadline Seconds:', spec?.startingDeadlineSeconds === undefined ? unset : `${String(spec.startingDeadlineSeconds)}s`);
  writer.row(0, 'Selector:', job?.selector === undefined ? unset : printSelector(job.selector)).row(0, 'Parallelism:', job?.parallelism ?? unset).row(0, 'Completions:', job?.completions ?? unset);
  if (job?.activeDeadlineSeconds !== undefined) writer.row(0, 'Active Deadline Seconds:', `${String(job.activeDeadlineSeconds)}s`);
  describeTemplate(writer, job?.template);
  writer.row(0, 'Last Schedule Time:', status?.lastScheduleTime === undefined ? unset : rfc1123(status.lastScheduleTime));
  writer.row(0, 'Active Jobs:', (status?.active ?? []).map(({ name }) => name ?? '').join(', ') || '<none>');
  return Promise.resolve();
};
