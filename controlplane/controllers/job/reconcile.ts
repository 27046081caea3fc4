import type { Job, JobCondition, JobStatus, Pod } from '#api/gen/types.ts';
import { jobs } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { rfc3339 } from '#common/time.ts';
import { eventAction } from '../execute.ts';
import { omitZero } from '../omit-zero.ts';
import type { Action } from '../types.ts';
import type { JobCount } from './count.ts';
import { judgeFailure } from './failure-policy.ts';
import { formatIndexes } from './indexes.ts';
import { condition, hasFailed, indexOf, isHeld, isIndexed, isSuspended, specOf, uidOf, type JobSnapshot } from './snapshot.ts';

/** More are counted in further steps: a status has to stay small. */
const maxUncounted = 500;

/** What came of making and removing pods. */
export interface Managed {
  /** Pods that run now. */
  readonly active: number;
  readonly removed: number;
  /** Whether it was looked at what to make and to remove at all. */
  readonly done: boolean;
  /** All that run were to be removed, and were. */
  readonly cleared: boolean;
  /** The cache shows every pod that was made: nothing can be left running unseen. */
  readonly settled: boolean;
}

export interface Tracking {
  /** To be written before any pod of `release` is let go: what it says of them must not be lost. */
  readonly status: JobStatus;
  readonly release: readonly Pod[];
  /** Complete or Failed, once every pod is counted. */
  readonly finished: JobCondition | undefined;
  readonly events: readonly Action[];
}

/** Counts pods that have ended by the way of `uncountedTerminatedPods`, so that none is counted twice or never, whenever this is cut off. */
export function trackJob(snapshot: JobSnapshot, count: JobCount, managed: Managed): Tracking {
  const { job, nowMs } = snapshot;
  const ending = endingOf(snapshot, count, managed);
  const { conditions, events, startTime } = suspension(snapshot, managed, ending);
  const held = new Set(snapshot.pods.filter((pod) => isHeld(snapshot, pod)).map(uidOf));
  const settled = settle({ ...job.status, conditions, startTime }, held);
  const marked = mark(snapshot, count, settled, ending);
  const interim = ending !== undefined && getCondition(conditions, ending.type)?.status !== 'True' ? [...conditions, ending] : conditions;
  const failed = count.failedIndexes;
  return {
    status: {
      ...settled, conditions: interim.length > 0 ? interim : undefined,
      active: omitZero(managed.active), ready: count.ready, terminating: count.terminating + managed.removed, uncountedTerminatedPods: marked.uncounted,
      ...(isIndexed(job) && { succeeded: omitZero(marked.indexes.size), completedIndexes: marked.indexes.size > 0 ? formatIndexes(marked.indexes) : undefined, failedIndexes: failed && formatIndexes(failed) }),
    },
    release: marked.release, events,
    finished: ending === undefined || marked.more ? undefined : condition(ending.type === 'SuccessCriteriaMet' ? 'Complete' : 'Failed', 'True', ending.reason ?? '', ending.message ?? '', nowMs),
  };
}

function endingOf({ job, nowMs }: JobSnapshot, count: JobCount, { active, cleared, settled }: Managed): JobCondition | undefined {
  if (count.ending !== undefined) return cleared ? count.ending : undefined;
  const { completions } = specOf(job);
  const enough = completions === undefined ? count.succeeded > 0 : count.succeeded >= completions;
  return enough && active === 0 && settled ? condition('SuccessCriteriaMet', 'True', 'CompletionsReached', 'Reached expected number of succeeded pods', nowMs) : undefined;
}

/** The Suspended condition, and when the Job has started: a resumed one starts anew, or its deadline would run while it rests. */
function suspension({ job, nowMs }: JobSnapshot, { done }: Managed, ending: JobCondition | undefined): { conditions: JobCondition[]; events: Action[]; startTime: string | undefined } {
  const conditions = job.status?.conditions ?? [];
  const startTime = job.status?.startTime ?? (isSuspended(job) ? undefined : rfc3339(nowMs));
  const old = getCondition(conditions, 'Suspended');
  const wanted = isSuspended(job) ? 'True' : 'False';
  if (!done || ending !== undefined || (old?.status ?? 'False') === wanted) return { conditions, events: [], startTime };
  const [reason, message, event] = isSuspended(job) ? ['JobSuspended', 'Job suspended', 'Suspended'] : ['JobResumed', 'Job resumed', 'Resumed'];
  const next = condition('Suspended', wanted, reason, message, nowMs);
  return {
    conditions: [...conditions.filter((c) => c !== old), next], events: [eventAction(jobs, job, 'Normal', event, message)],
    startTime: isSuspended(job) ? startTime : rfc3339(nowMs),
  };
}

/** Moves pods that are let go from the list to the counters. */
export function settle(status: JobStatus, held: ReadonlySet<string>): JobStatus {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  const [keptSucceeded, keptFailed] = [succeeded, failed].map((uids) => uids.filter((uid) => held.has(uid)));
  return {
    ...status,
    succeeded: omitZero((status.succeeded ?? 0) + succeeded.length - (keptSucceeded?.length ?? 0)),
    failed: omitZero((status.failed ?? 0) + failed.length - (keptFailed?.length ?? 0)),
    uncountedTerminatedPods: { ...(keptSucceeded?.length && { succeeded: keptSucceeded }), ...(keptFailed?.length && { failed: keptFailed }) },
  };
}

interface Marked {
  readonly uncounted: NonNullable<JobStatus['uncountedTerminatedPods']>;
  readonly indexes: ReadonlySet<number>;
  readonly release: readonly Pod[];
  readonly more: boolean;
}

/** Pods that have ended, noted in the status and to be let go once it is written. */
function mark(snapshot: JobSnapshot, count: JobCount, status: JobStatus, ending: JobCondition | undefined): Marked {
  const { job, pods } = snapshot;
  const succeeded = [...status.uncountedTerminatedPods?.succeeded ?? []];
  const failed = [...status.uncountedTerminatedPods?.failed ?? []];
  const indexes = new Set(count.succeededIndexes.before);
  const release: Pod[] = [];
  const uncounted = (): Marked['uncounted'] => ({ ...(succeeded.length > 0 && { succeeded }), ...(failed.length > 0 && { failed }) });
  const { completions = 0 } = specOf(job);
  for (const pod of pods) {
    if (!isHeld(snapshot, pod) || !mayRelease(snapshot, count, pod, ending)) continue;
    if (succeeded.length + failed.length + indexes.size - count.succeededIndexes.before.size >= maxUncounted) return { uncounted: uncounted(), indexes, release, more: true };
    release.push(pod);
    const uid = uidOf(pod);
    const index = indexOf(pod);
    const hasPlace = !isIndexed(job) || (index !== undefined && index < completions);
    if (pod.status?.phase === 'Succeeded') {
      if (isIndexed(job) && hasPlace && index !== undefined) indexes.add(index);
      else if (!isIndexed(job) && !succeeded.includes(uid)) succeeded.push(uid);
    } else if (hasPlace && !failed.includes(uid) && (hasFailed(job, pod) || ending?.type === 'FailureTarget') && judgeFailure(hasFailed(job, pod) ? specOf(job).podFailurePolicy : undefined, pod).counts) {
      failed.push(uid);
    }
  }
  return { uncounted: uncounted(), indexes, release, more: false };
}

function mayRelease({ job }: JobSnapshot, { lastFailed }: JobCount, pod: Pod, ending: JobCondition | undefined): boolean {
  if (job.metadata?.deletionTimestamp !== undefined || ending !== undefined || pod.status?.phase === 'Succeeded') return true;
  return hasFailed(job, pod) && lastFailed.get(indexOf(pod) ?? -1) !== pod;
}

/** The end of a Job, once every pod is counted and none is ending any more. */
export function finish(job: Job, status: JobStatus, finished: JobCondition): { status: JobStatus; events: Action[] } | undefined {
  const { succeeded = [], failed = [] } = status.uncountedTerminatedPods ?? {};
  if (succeeded.length + failed.length > 0 || (status.terminating ?? 0) > 0) return undefined;
  const complete = finished.type === 'Complete';
  const { completions } = specOf(job);
  const tooMany = complete && completions !== undefined && (status.succeeded ?? 0) > completions;
  return {
    status: { ...status, conditions: [...status.conditions ?? [], finished], ...(complete && { completionTime: finished.lastTransitionTime }) },
    events: [
      ...(tooMany ? [eventAction(jobs, job, 'Warning', 'TooManySucceededPods', 'Too many succeeded pods running after completion count reached')] : []),
      complete ? eventAction(jobs, job, 'Normal', 'Completed', 'Job completed') : eventAction(jobs, job, 'Warning', finished.reason ?? '', finished.message ?? ''),
    ],
  };
}
