import type { Job, JobCondition, JobSpec, Pod } from '#api/gen/types.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { rfc3339 } from '#common/time.ts';
import { isTerminal, isTerminating } from '../pod-state.ts';

/** Kept by a pod until its Job has counted it. */
export const trackingFinalizer = 'batch.kubernetes.io/job-tracking';
export const indexKey = 'batch.kubernetes.io/job-completion-index';

/** Failures since the last success, and when the last was. Makes the next pods wait. */
export interface BackoffRecord { readonly failures: number; readonly lastFailureMs: number }
export const noFailures: BackoffRecord = { failures: 0, lastFailureMs: 0 };

export interface JobSnapshot {
  readonly job: Job;
  /** Those it controls, ended ones included. */
  readonly pods: readonly Pod[];
  /** Uids of pods that were let go already, though the cache still shows them held. */
  readonly released: ReadonlySet<string>;
  readonly backoff: BackoffRecord;
  readonly nowMs: number;
}

export function specOf(job: Job): JobSpec {
  return job.spec ?? { template: {} };
}

export function isIndexed(job: Job): boolean {
  return job.spec?.completionMode === 'Indexed';
}

export function isSuspended(job: Job): boolean {
  return job.spec?.suspend === true;
}

export function isFinished({ status }: Job): boolean {
  return ['Complete', 'Failed'].some((type) => getCondition(status?.conditions, type)?.status === 'True');
}

/** The completion index of a pod; undefined without a valid one. */
export function indexOf(pod: Pod): number | undefined {
  const text = pod.metadata?.annotations?.[indexKey];
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

export function indexesOf(pods: readonly Pod[]): Set<number> {
  return new Set(pods.map(indexOf).filter((index) => index !== undefined));
}

export function uidOf(pod: Pod): string {
  return pod.metadata?.uid ?? '';
}

/** Still to be counted. */
export function isHeld({ released }: Pick<JobSnapshot, 'released'>, pod: Pod): boolean {
  return (pod.metadata?.finalizers?.includes(trackingFinalizer) ?? false) && !released.has(uidOf(pod));
}

/** Ended badly; unless only such are replaced, one that is being deleted counts too, since it may never end. */
export function hasFailed(job: Job, pod: Pod): boolean {
  if (pod.status?.phase === 'Failed') return true;
  if (replacesFailedOnly(job)) return isTerminating(pod) && isTerminal(pod) && pod.status?.phase !== 'Succeeded';
  return isTerminating(pod) && pod.status?.phase !== 'Succeeded';
}

export function replacesFailedOnly(job: Job): boolean {
  return job.spec?.podReplacementPolicy === 'Failed';
}

/** When a pod ended, epoch milliseconds. */
export function finishedAtMs(pod: Pod): number {
  const ends = (pod.status?.containerStatuses ?? []).map(({ state }) => Date.parse(state?.terminated?.finishedAt ?? ''));
  if (ends.length > 0 && ends.every((ms) => !Number.isNaN(ms))) return Math.max(...ends);
  const ready = Date.parse(getCondition(pod.status?.conditions, 'Ready')?.lastTransitionTime ?? '');
  if (!Number.isNaN(ready)) return ready;
  return Date.parse(pod.metadata?.deletionTimestamp ?? pod.metadata?.creationTimestamp ?? '') || 0;
}

export function condition(type: string, status: string, reason: string, message: string, nowMs: number): JobCondition {
  const now = rfc3339(nowMs);
  return { type, status, lastProbeTime: now, lastTransitionTime: now, reason, message };
}
