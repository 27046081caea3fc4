import { keepsOne } from '#api/disconnect/policy.ts';
import type { Pod } from '#api/gen/types.ts';
import { podsToDelete } from '../pod-ranking.ts';
import { remainingMs } from './backoff.ts';
import type { JobCount } from './count.ts';
import { freeIndexes } from './indexes.ts';
import { failuresUpTo } from './job-pods.ts';
import { finishedAtMs, indexesOf, indexOf, isIndexed, isSuspended, replacesFailedOnly, specOf, type JobSnapshot } from './snapshot.ts';
import { isTerminal, isTerminating } from '../pod-state.ts';

const burst = 500;

export interface JobWork {
  /** One pod for each: its index, or undefined in a Job without indexes. */
  readonly create: readonly (number | undefined)[];
  readonly remove: readonly Pod[];
  readonly afterMs?: number | undefined;
}

/** Pods to make or to remove, never both in one step. */
export function manageJob(snapshot: JobSnapshot, count: JobCount): JobWork {
  const { job, nowMs } = snapshot;
  const { active } = count;
  if (isSuspended(job)) return { create: [], remove: active };
  const wanted = wantedActive(snapshot, count);
  const surplus = [...misplaced(snapshot, active)];
  const rest = active.filter((pod) => !surplus.includes(pod));
  const remove = [...surplus, ...podsToDelete(rest, rest, Math.max(0, active.length - wanted - surplus.length), nowMs)].slice(0, burst);
  if (remove.length > 0) return { create: [], remove };
  const missing = Math.min(burst, wanted - active.length - stillRunning(snapshot).length);
  if (missing <= 0) return { create: [], remove: [] };
  const waitMs = count.failedIndexes === undefined ? remainingMs(count.backoff, nowMs) : 0;
  if (waitMs > 0) return { create: [], remove: [], afterMs: waitMs };
  return isIndexed(job) ? indexed(snapshot, count, missing) : { create: Array.from({ length: missing }, () => undefined), remove: [] };
}

function wantedActive({ job }: JobSnapshot, { active, succeeded }: JobCount): number {
  const { completions, parallelism = 1 } = specOf(job);
  // A work queue: the first that succeeds knows that all is done, and the others end by themselves.
  if (completions === undefined) return succeeded > 0 ? active.length : parallelism;
  return Math.max(0, Math.min(parallelism, completions - succeeded));
}

/** Pods without a valid index, and all but one of each index. */
function misplaced({ job, nowMs }: JobSnapshot, active: readonly Pod[]): readonly Pod[] {
  if (!isIndexed(job)) return [];
  const { completions = 0 } = specOf(job);
  const byIndex = Map.groupBy(active, (pod) => { const index = indexOf(pod); return index !== undefined && index < completions ? index : -1; });
  return [...byIndex].flatMap(([index, pods]) => (index < 0 ? pods : podsToDelete(pods, pods, pods.length - 1, nowMs)));
}

/** Pods on their way out that are replaced only when they are gone: all of the job's, or those of which there may be one copy. */
function stillRunning({ job, pods }: JobSnapshot): Pod[] {
  return pods.filter((pod) => isTerminating(pod) && !isTerminal(pod) && (replacesFailedOnly(job) || keepsOne(pod)));
}

function indexed(snapshot: JobSnapshot, count: JobCount, missing: number): JobWork {
  const { job, nowMs } = snapshot;
  const ending = indexesOf(stillRunning(snapshot));
  const indexes = freeIndexes(missing, specOf(job).completions ?? 0, indexesOf(count.active), count.succeededIndexes.now, count.failedIndexes ?? new Set(), ending);
  const waits = indexes.map((index) => {
    const failed = count.lastFailed.get(index);
    if (failed === undefined) return 0;
    const { counted, ignored } = failuresUpTo(job, failed);
    return remainingMs({ failures: counted + ignored, lastFailureMs: finishedAtMs(failed) }, nowMs);
  });
  const create = indexes.filter((_, i) => waits[i] === 0);
  const later = waits.filter((ms) => ms > 0);
  return { create, remove: [], afterMs: later.length > 0 ? Math.min(...later) : undefined };
}
