import type { CronJob, CronJobStatus, Job, ObjectReference } from '#api/gen/types.ts';
import { apiVersionOf, cronJobs, jobs } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { messageOf } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import { eventAction } from '../execute.ts';
import { controllerReference } from '../owner-refs.ts';
import type { Action } from '../types.ts';
import { due, timetableOf, type Timetable } from './times.ts';

export interface CronJobSnapshot {
  /** As the API has it now: an old one would start what has started. */
  readonly cronJob: CronJob;
  /** Those it controls. */
  readonly jobs: readonly Job[];
  /** Uids in the status whose Jobs are gone for certain. */
  readonly missing: ReadonlySet<string>;
  readonly nowMs: number;
}

export interface CronJobPlan {
  readonly events: readonly Action[];
  readonly remove: readonly Job[];
  /** Of the Jobs known; the one that is started comes to it. */
  readonly status: CronJobStatus;
  readonly start: { readonly job: Job; readonly scheduledMs: number } | undefined;
  readonly afterMs?: number | undefined;
}

/** How long at most until the clock is looked at again: it may be set while nobody waits for it. */
const longestMs = 600_000;

export function planCronJob(snapshot: CronJobSnapshot): CronJobPlan {
  const { cronJob, nowMs } = snapshot;
  const books = keepBooks(snapshot);
  const remove = surplusJobs(snapshot);
  const rest: CronJobPlan = { ...books, remove, start: undefined };
  const tell = (severity: 'Normal' | 'Warning', reason: string, message: string): CronJobPlan => ({ ...rest, events: [...rest.events, eventAction(cronJobs, cronJob, severity, reason, message)] });
  if (cronJob.metadata?.deletionTimestamp !== undefined || cronJob.spec.suspend === true) return rest;
  let timetable: Timetable;
  try {
    timetable = timetableOf(cronJob);
  } catch (error) {
    return error instanceof RangeError ? tell('Warning', 'UnknownTimeZone', `invalid timeZone: ${JSON.stringify(cronJob.spec.timeZone ?? '')}: ${messageOf(error)}`)
      : tell('Warning', 'UnparseableSchedule', `unparseable schedule: ${JSON.stringify(cronJob.spec.schedule)} : ${messageOf(error)}`);
  }
  const { atMs, nextMs, tooMany } = due(cronJob, timetable, nowMs);
  const afterMs = nextMs === undefined ? undefined : Math.min(longestMs, Math.max(1, nextMs - nowMs));
  const wait = (plan: CronJobPlan): CronJobPlan => ({ ...plan, afterMs });
  if (atMs === undefined || rfc3339(atMs) === cronJob.status?.lastScheduleTime) return wait(rest);
  const missed = tooMany ? tell('Warning', 'TooManyMissedTimes', 'too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew') : rest;
  const active = books.status.active ?? [];
  if (active.length > 0 && cronJob.spec.concurrencyPolicy === 'Forbid') return wait(tell('Normal', 'JobAlreadyActive', 'Not starting job because prior execution is running and concurrency policy is Forbid'));
  const job = jobFromTemplate(cronJob, atMs, timetable);
  if (active.some(({ name }) => name === job.metadata?.name)) return wait(missed);
  const replaced = cronJob.spec.concurrencyPolicy === 'Replace' ? snapshot.jobs.filter(({ metadata }) => active.some(({ uid }) => uid === metadata?.uid)) : [];
  const status = replaced.length > 0 ? { ...missed.status, active: undefined } : missed.status;
  return wait({ ...missed, status, remove: [...new Set([...missed.remove, ...replaced])], start: { job, scheduledMs: atMs } });
}

function endOf({ status }: Job): string | undefined {
  return ['Complete', 'Failed'].find((type) => getCondition(status?.conditions, type)?.status === 'True');
}

/** Which Jobs run, and when the last succeeded. */
function keepBooks({ cronJob, jobs: own, missing }: CronJobSnapshot): { events: Action[]; status: CronJobStatus } {
  const events: Action[] = [];
  const tell = (severity: 'Normal' | 'Warning', reason: string, message: string): void => { events.push(eventAction(cronJobs, cronJob, severity, reason, message)); };
  const byUid = new Map(own.map((job) => [job.metadata?.uid, job]));
  const before = cronJob.status?.active ?? [];
  const active: ObjectReference[] = [];
  for (const reference of before) {
    const job = byUid.get(reference.uid);
    const end = job && endOf(job);
    if (end !== undefined) tell('Normal', 'SawCompletedJob', `Saw completed job: ${reference.name ?? ''}, condition: ${end}`);
    else if (missing.has(reference.uid ?? '')) tell('Normal', 'MissingJob', `Active job went missing: ${reference.name ?? ''}`);
    else active.push(reference);
  }
  for (const job of own) {
    if (endOf(job) === undefined && !before.some(({ uid }) => uid === job.metadata?.uid)) tell('Warning', 'UnexpectedJob', `Saw a job that the controller did not create or forgot: ${job.metadata?.name ?? ''}`);
  }
  const successes = own.filter((job) => endOf(job) === 'Complete').map(({ status }) => status?.completionTime ?? '');
  const lastSuccessfulTime = [cronJob.status?.lastSuccessfulTime ?? '', ...successes].reduce((a, b) => (b > a ? b : a));
  return { events, status: { ...cronJob.status, active: active.length > 0 ? active : undefined, lastSuccessfulTime: lastSuccessfulTime || undefined } };
}

/** Finished Jobs beyond the limits, oldest first. */
function surplusJobs({ cronJob, jobs: own }: CronJobSnapshot): Job[] {
  const { successfulJobsHistoryLimit = 3, failedJobsHistoryLimit = 1 } = cronJob.spec;
  const oldest = (end: string, limit: number): Job[] => {
    const ended = own.filter((job) => endOf(job) === end).sort((a, b) => (startOf(a) < startOf(b) ? -1 : 1));
    return ended.slice(0, Math.max(0, ended.length - limit));
  };
  return [...oldest('Complete', successfulJobsHistoryLimit), ...oldest('Failed', failedJobsHistoryLimit)];
}

function startOf({ metadata, status }: Job): string {
  return `${status?.startTime ?? metadata?.creationTimestamp ?? ''} ${metadata?.name ?? ''}`;
}

/** The Job of one time: its name is made from the time, so that it is started once, whoever asks. */
function jobFromTemplate(cronJob: CronJob, scheduledMs: number, { zone }: Timetable): Job {
  const { metadata = {}, spec } = cronJob.spec.jobTemplate;
  const leadMs = zone.wall(scheduledMs) - scheduledMs;
  const lead = Math.abs(leadMs / 60_000);
  const offset = leadMs === 0 ? 'Z' : `${leadMs < 0 ? '-' : '+'}${String(Math.floor(lead / 60)).padStart(2, '0')}:${String(Math.round(lead % 60)).padStart(2, '0')}`;
  return {
    apiVersion: apiVersionOf(jobs), kind: jobs.kind,
    metadata: {
      name: `${cronJob.metadata?.name ?? ''}-${String(Math.floor(scheduledMs / 60_000))}`, namespace: cronJob.metadata?.namespace,
      ...(metadata.labels && { labels: metadata.labels }),
      annotations: { ...metadata.annotations, 'batch.kubernetes.io/cronjob-scheduled-timestamp': rfc3339(scheduledMs + leadMs).replace('Z', offset) },
      ownerReferences: [controllerReference(cronJobs, cronJob)],
    },
    ...(spec && { spec }),
  };
}

/** The reference in the status, and when the Job was due. One that has ended already was started for this minute before. */
export function withStarted(status: CronJobStatus, job: Job, scheduledMs: number): CronJobStatus {
  const { name, namespace, uid, resourceVersion } = job.metadata ?? {};
  if (endOf(job) !== undefined) return { ...status, lastScheduleTime: rfc3339(scheduledMs) };
  return { ...status, active: [...status.active ?? [], { kind: jobs.kind, apiVersion: apiVersionOf(jobs), name, namespace, uid, resourceVersion }], lastScheduleTime: rfc3339(scheduledMs) };
}
