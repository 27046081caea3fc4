import type { Deployment, ReplicaSet } from '#api/gen/types.ts';
import { scaledValue } from '#api/meta/int-or-percent.ts';

export function specReplicas(object: Deployment | ReplicaSet): number {
  return object.spec?.replicas ?? 1;
}

export function total(sets: readonly ReplicaSet[], of: (set: ReplicaSet) => number): number {
  return sets.reduce((sum, set) => sum + of(set), 0);
}

export function isRollingUpdate(deployment: Deployment): boolean {
  return deployment.spec?.strategy?.type !== 'Recreate';
}

export interface Limits {
  /** Pods above the wanted count that may exist. */
  readonly maxSurge: number;
  /** Pods below the wanted count that may be unavailable. */
  readonly maxUnavailable: number;
}

/** Percentages of surge round up, of unavailability down; when both come to 0 one pod may be unavailable, or nothing could ever move. */
export function limitsOf(deployment: Deployment): Limits {
  const replicas = specReplicas(deployment);
  if (!isRollingUpdate(deployment)) return { maxSurge: 0, maxUnavailable: 0 };
  const { maxSurge = '25%', maxUnavailable = '25%' } = deployment.spec?.strategy?.rollingUpdate ?? {};
  const surge = scaledValue(maxSurge, replicas, 'up');
  const unavailable = scaledValue(maxUnavailable, replicas, 'down');
  return { maxSurge: surge, maxUnavailable: Math.min(replicas, surge === 0 && unavailable === 0 ? 1 : unavailable) };
}

/**
 * It has not heard of its last change of size yet, or still has pods that are to go. What others may grow by is
 * only known afterwards, so nothing grows until then: the surge is never exceeded.
 */
export function isSettling(set: ReplicaSet): boolean {
  return (set.status?.observedGeneration ?? 0) < (set.metadata?.generation ?? 0) || (set.status?.replicas ?? 0) > specReplicas(set);
}

/** Size of the new ReplicaSet, now `newSize`, for its next step up. `sets` includes it once it exists. */
export function nextNewSize(deployment: Deployment, sets: readonly ReplicaSet[], newSize: number): number {
  const wanted = specReplicas(deployment);
  if (!isRollingUpdate(deployment)) return wanted;
  if (sets.some(isSettling)) return newSize;
  const room = wanted + limitsOf(deployment).maxSurge - total(sets, specReplicas);
  return room <= 0 ? newSize : newSize + Math.min(room, wanted - newSize);
}

/** One that asks for pods. */
export function isActiveSet(set: ReplicaSet): boolean {
  return specReplicas(set) > 0;
}
