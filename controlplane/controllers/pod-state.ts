import type { Pod } from '#api/gen/types.ts';
import { getCondition } from '#api/meta/conditions.ts';

/** Ended for good: neither Succeeded nor Failed pods are ever started again. */
export function isTerminal(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

export function isTerminating(pod: Pod): boolean {
  return pod.metadata?.deletionTimestamp !== undefined;
}

/** Counts as a replica. */
export function isActive(pod: Pod): boolean {
  return !isTerminal(pod) && !isTerminating(pod);
}

export function isReady(pod: Pod): boolean {
  return getCondition(pod.status?.conditions, 'Ready')?.status === 'True';
}

/** Since when the pod is ready, epoch milliseconds; undefined when it is not, or when nobody says since when. */
export function readySinceMs(pod: Pod): number | undefined {
  const condition = getCondition(pod.status?.conditions, 'Ready');
  if (condition?.status !== 'True' || condition.lastTransitionTime === undefined) return undefined;
  return Date.parse(condition.lastTransitionTime);
}

/** Milliseconds until a ready pod has been so for `minReadySeconds`; 0 when it is available, undefined when not ready. */
export function availableInMs(pod: Pod, minReadySeconds: number, nowMs: number): number | undefined {
  if (!isReady(pod)) return undefined;
  if (minReadySeconds === 0) return 0;
  const since = readySinceMs(pod);
  if (since === undefined) return undefined;
  // Ready since a time to come: the clock was set back. Nobody knows for how long; waiting for that time might take years.
  return since > nowMs ? 0 : Math.max(0, since + minReadySeconds * 1000 - nowMs);
}
