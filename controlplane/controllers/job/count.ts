import type { Job, JobCondition, Pod } from '#api/gen/types.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { isActive, isReady, isTerminal, isTerminating } from '../pod-state.ts';
import { nextRecord } from './backoff.ts';
import { judgeFailure } from './failure-policy.ts';
import { parseIndexes } from './indexes.ts';
import { failuresBefore, failuresUpTo } from './job-pods.ts';
import { condition, finishedAtMs, hasFailed, indexesOf, indexOf, isHeld, isIndexed, isSuspended, specOf, uidOf, type BackoffRecord, type JobSnapshot } from './snapshot.ts';
import { matchedSuccess } from './success-policy.ts';

/** Where a Job stands. */
export interface JobCount {
  readonly active: readonly Pod[];
  readonly ready: number;
  readonly terminating: number;
  /** Those in the status, those it has yet to count, and those that have ended since. */
  readonly succeeded: number;
  readonly failed: number;
  /** Of an Indexed Job: `before` is what the status says. */
  readonly succeededIndexes: { readonly before: ReadonlySet<number>; readonly now: ReadonlySet<number> };
  /** Undefined unless failures are counted per index. */
  readonly failedIndexes: ReadonlySet<number> | undefined;
  /** The last failed pod of each index that has none running: kept, since it knows how often the index has failed. */
  readonly lastFailed: ReadonlyMap<number, Pod>;
  readonly backoff: BackoffRecord;
  /** FailureTarget or SuccessCriteriaMet: no more pods, and those that run are removed. */
  readonly ending: JobCondition | undefined;
}

export function countJob(snapshot: JobSnapshot): JobCount {
  const { job, pods, backoff } = snapshot;
  const { status } = job;
  const uncounted = status?.uncountedTerminatedPods ?? {};
  const active = pods.filter(isActive);
  const valid = pods.filter((pod) => isHeld(snapshot, pod) && hasPlace(job, pod));
  const newlySucceeded = valid.filter((pod) => pod.status?.phase === 'Succeeded' && !uncounted.succeeded?.includes(uidOf(pod)));
  const newlyFailed = valid.filter((pod) => hasFailed(job, pod) && !uncounted.failed?.includes(uidOf(pod)));
  const policy = specOf(job).podFailurePolicy;
  const failed = (status?.failed ?? 0) + (uncounted.failed?.length ?? 0) + newlyFailed.filter((pod) => judgeFailure(policy, pod).counts).length;
  const before = parseIndexes(status?.completedIndexes, specOf(job).completions ?? 0);
  const now = new Set([...before, ...indexesOf(valid.filter((pod) => pod.status?.phase === 'Succeeded'))]);
  const failedIndexes = isIndexed(job) && specOf(job).backoffLimitPerIndex !== undefined ? failedIndexesOf(job, pods) : undefined;
  const count = {
    active, ready: active.filter(isReady).length, terminating: pods.filter((pod) => isTerminating(pod) && !isTerminal(pod)).length,
    succeeded: isIndexed(job) ? now.size : (status?.succeeded ?? 0) + (uncounted.succeeded?.length ?? 0) + newlySucceeded.length,
    failed, succeededIndexes: { before, now }, failedIndexes,
    lastFailed: failedIndexes === undefined ? new Map<number, Pod>() : lastFailedPods(snapshot, valid, indexesOf(active)),
    backoff: nextRecord(backoff, newlySucceeded, newlyFailed),
  };
  return { ...count, ending: ending(snapshot, count) };
}

function hasPlace(job: Job, pod: Pod): boolean {
  const index = indexOf(pod);
  return !isIndexed(job) || (index !== undefined && index < (specOf(job).completions ?? 0));
}

function failedIndexesOf(job: Job, pods: readonly Pod[]): Set<number> {
  const { backoffLimitPerIndex = 0, completions = 0, podFailurePolicy } = specOf(job);
  const indexes = parseIndexes(job.status?.failedIndexes, completions);
  for (const pod of pods) {
    const index = indexOf(pod);
    if (index === undefined || index >= completions || !hasFailed(job, pod)) continue;
    const { action, counts } = judgeFailure(podFailurePolicy, pod);
    if (action === 'FailIndex' || (counts && failuresBefore(pod).counted >= backoffLimitPerIndex)) indexes.add(index);
  }
  return indexes;
}

function lastFailedPods({ job }: JobSnapshot, held: readonly Pod[], activeIndexes: ReadonlySet<number>): Map<number, Pod> {
  const last = new Map<number, Pod>();
  const rank = (pod: Pod): number => { const { counted, ignored } = failuresUpTo(job, pod); return (counted + ignored) * 1e14 + finishedAtMs(pod); };
  for (const pod of held) {
    const index = indexOf(pod);
    if (index === undefined || activeIndexes.has(index) || !hasFailed(job, pod)) continue;
    const known = last.get(index);
    if (known === undefined || rank(pod) >= rank(known)) last.set(index, pod);
  }
  return last;
}

/** Why the Job is about to end. What was decided once stays. */
function ending({ job, pods, nowMs }: JobSnapshot, count: Omit<JobCount, 'ending'>): JobCondition | undefined {
  const spec = specOf(job);
  const decided = ['SuccessCriteriaMet', 'FailureTarget'].map((type) => getCondition(job.status?.conditions, type)).find((c) => c?.status === 'True');
  if (decided !== undefined) return decided;
  const fail = (reason: string, message: string): JobCondition => condition('FailureTarget', 'True', reason, message, nowMs);
  const policyMessage = spec.podFailurePolicy && pods.filter((pod) => hasFailed(job, pod)).map((pod) => judgeFailure(spec.podFailurePolicy, pod).message).find((text) => text !== undefined);
  if (policyMessage !== undefined) return fail('PodFailurePolicy', policyMessage);
  if (count.failed > (spec.backoffLimit ?? 6) || restartsExceed(job, pods)) return fail('BackoffLimitExceeded', 'Job has reached the specified backoff limit');
  if ((deadlineInMs(job, nowMs) ?? 1) <= 0) return fail('DeadlineExceeded', 'Job was active longer than specified deadline');
  if (!isIndexed(job)) return undefined;
  const { completions = 0, maxFailedIndexes, successPolicy } = spec;
  const failedIndexes = count.failedIndexes?.size ?? 0;
  if (maxFailedIndexes !== undefined && failedIndexes > maxFailedIndexes) return fail('MaxFailedIndexesExceeded', 'Job has exceeded the specified maximal number of failed indexes');
  if (failedIndexes > 0 && failedIndexes + count.succeededIndexes.now.size >= completions) return fail('FailedIndexes', 'Job has failed indexes');
  const success = matchedSuccess(successPolicy, count.succeededIndexes.now, completions);
  return success === undefined ? undefined : condition('SuccessCriteriaMet', 'True', 'SuccessPolicy', success, nowMs);
}

/** A pod that restarts its containers itself never fails: its restarts count. */
function restartsExceed(job: Job, pods: readonly Pod[]): boolean {
  const { template, backoffLimit = 6 } = specOf(job);
  if (template.spec?.restartPolicy !== 'OnFailure') return false;
  const restarts = pods.filter(({ status }) => status?.phase === 'Running' || status?.phase === 'Pending')
    .flatMap(({ status }) => [...status?.initContainerStatuses ?? [], ...status?.containerStatuses ?? []]).reduce((sum, { restartCount }) => sum + restartCount, 0);
  return backoffLimit === 0 ? restarts > 0 : restarts >= backoffLimit;
}

/** Until the Job has to be done; undefined when nothing says so, or while it is suspended: its time begins anew when it goes on. */
export function deadlineInMs(job: Job, nowMs: number): number | undefined {
  const { activeDeadlineSeconds } = specOf(job);
  const startMs = Date.parse(job.status?.startTime ?? '');
  const rests = isSuspended(job) || getCondition(job.status?.conditions, 'Suspended')?.status === 'True';
  return activeDeadlineSeconds === undefined || rests || Number.isNaN(startMs) ? undefined : startMs + activeDeadlineSeconds * 1000 - nowMs;
}
