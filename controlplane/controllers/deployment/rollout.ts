import type { Pod, ReplicaSet } from '#api/gen/types.ts';
import { controllerOf } from '../owner-refs.ts';
import { isTerminal } from '../pod-state.ts';
import { desiredReplicasAnnotation, maxReplicasAnnotation, numberAnnotation } from './annotations.ts';
import type { Draft } from './draft.ts';
import { isActiveSet, isRollingUpdate, isSettling, limitsOf, nextNewSize, specReplicas, total } from './limits.ts';
import { byAge } from './template.ts';

/** A ReplicaSet that was just shrunk may still report pods that are about to go: they do not count. */
const available = (set: ReplicaSet): number => Math.min(specReplicas(set), set.status?.availableReplicas ?? 0);

/** One step of a rolling update: grow the new ReplicaSet, else shrink the old ones. */
export function rollingStep(draft: Draft): void {
  const { newSet } = draft;
  if (newSet === undefined || growNew(draft, newSet)) return;
  shrinkOld(draft, newSet);
}

function growNew(draft: Draft, newSet: ReplicaSet): boolean {
  const wanted = specReplicas(draft.deployment);
  const size = specReplicas(newSet);
  return draft.scale(newSet, size > wanted ? wanted : nextNewSize(draft.deployment, draft.sets, size));
}

/**
 * Old pods go as far as the minimum of available pods allows. New pods that are not available yet are counted
 * against it; old pods that are not available go first, as they serve nobody.
 */
function shrinkOld(draft: Draft, newSet: ReplicaSet): void {
  const { deployment } = draft;
  const minAvailable = specReplicas(deployment) - limitsOf(deployment).maxUnavailable;
  const newUnavailable = specReplicas(newSet) - available(newSet);
  let budget = total(draft.sets, specReplicas) - minAvailable - newUnavailable;
  for (const set of byAge(draft.oldSets)) {
    const unhealthy = Math.min(budget, specReplicas(set) - available(set));
    if (unhealthy <= 0) continue;
    draft.scale(set, specReplicas(set) - unhealthy);
    budget -= unhealthy;
  }
  if (budget <= 0) return;
  let spare = Math.min(budget, total(draft.sets, available) - minAvailable);
  for (const set of byAge(draft.oldSets)) {
    const step = Math.min(spare, specReplicas(set));
    if (step <= 0) continue;
    draft.scale(set, specReplicas(set) - step);
    spare -= step;
  }
}

/** Scales every old ReplicaSet to nothing. True when one was not yet. */
export function stopOld(draft: Draft): boolean {
  let changed = false;
  for (const set of draft.oldSets) if (isActiveSet(set)) changed = draft.scale(set, 0) || changed;
  return changed;
}

/** Whether pods of other templates than `set`'s still run: Recreate never lets two versions run side by side. */
export function othersRun(draft: Draft, set: ReplicaSet | undefined, pods: readonly Pod[]): boolean {
  const others = draft.sets.filter((other) => other !== set);
  if (others.some((other) => isSettling(other) || (other.status?.replicas ?? 0) > 0)) return true;
  const uids = new Set(others.map((other) => other.metadata?.uid));
  return pods.some((pod) => uids.has(controllerOf(pod)?.uid) && !isTerminal(pod));
}

/** The deployment was resized since its ReplicaSets were. */
export function isScaling(draft: Draft): boolean {
  const wanted = specReplicas(draft.deployment);
  return draft.sets.some((set) => isActiveSet(set) && (numberAnnotation(set, desiredReplicasAnnotation) ?? wanted) !== wanted);
}

/** Follows a change of size without moving the rollout: in proportion over all ReplicaSets that have pods. */
export function scale(draft: Draft, pods: readonly Pod[]): void {
  const wanted = specReplicas(draft.deployment);
  const single = activeOrLatest(draft);
  if (single !== undefined) {
    // While paused `single` may be an earlier template's: the pods of a newer one are in its way just the same.
    const blocked = isRollingUpdate(draft.deployment) ? draft.sets.some((set) => set !== single && isSettling(set)) : othersRun(draft, single, pods);
    if (wanted <= specReplicas(single) || !blocked) draft.scale(single, wanted);
  } else if (isSaturated(draft)) {
    stopOld(draft);
  } else if (isRollingUpdate(draft.deployment)) {
    scaleInProportion(draft);
  }
}

function activeOrLatest(draft: Draft): ReplicaSet | undefined {
  const active = draft.sets.filter(isActiveSet);
  if (active.length === 0) return draft.newSet ?? byAge(draft.oldSets).at(-1);
  return active.length === 1 ? active[0] : undefined;
}

function isSaturated(draft: Draft): boolean {
  const { newSet } = draft;
  const wanted = specReplicas(draft.deployment);
  return newSet !== undefined && specReplicas(newSet) === wanted && numberAnnotation(newSet, desiredReplicasAnnotation) === wanted && available(newSet) === wanted;
}

function scaleInProportion(draft: Draft): void {
  const wanted = specReplicas(draft.deployment);
  const allowed = wanted > 0 ? wanted + limitsOf(draft.deployment).maxSurge : 0;
  const active = draft.sets.filter(isActiveSet);
  const toAdd = allowed - total(active, specReplicas);
  if (toAdd > 0 && draft.sets.some(isSettling)) return;
  const newest = toAdd > 0 ? 1 : -1;
  const age = new Map(byAge(active).map((set, i) => [set, i]));
  // Largest first; among equals the newest gains first and the oldest loses first.
  active.sort((a, b) => specReplicas(b) - specReplicas(a) || newest * ((age.get(b) ?? 0) - (age.get(a) ?? 0)));
  let added = 0;
  const sizes = active.map((set) => {
    const share = proportion(draft, set, toAdd, added);
    added += share;
    return Math.max(0, specReplicas(set) + share);
  });
  // What rounding left over goes to the largest.
  if (sizes[0] !== undefined) sizes[0] = Math.max(0, sizes[0] + toAdd - added);
  const kept = keepAvailable(draft, active, sizes);
  active.forEach((set, i) => { draft.scale(set, kept[i] ?? 0); });
}

/** The same pods in all, but none that is available and needed goes while others could: Kubernetes does not look, and breaks maxUnavailable. */
function keepAvailable(draft: Draft, active: readonly ReplicaSet[], sizes: readonly number[]): number[] {
  const minAvailable = specReplicas(draft.deployment) - limitsOf(draft.deployment).maxUnavailable;
  const left = active.reduce((sum, set, i) => sum + Math.min(sizes[i] ?? 0, available(set)), 0);
  let missing = Math.max(0, Math.min(minAvailable, total(active, available)) - left);
  let taken = missing;
  return active.map((set, i) => {
    const back = Math.min(missing, Math.max(0, available(set) - (sizes[i] ?? 0)));
    missing -= back;
    return (sizes[i] ?? 0) + back;
  }).map((size, i) => {
    const instead = Math.min(taken, Math.max(0, size - available(active[i] ?? {})));
    taken -= instead;
    return size - instead;
  });
}

function proportion(draft: Draft, set: ReplicaSet, toAdd: number, added: number): number {
  const size = specReplicas(set);
  if (size === 0 || toAdd === 0 || toAdd === added) return 0;
  const wanted = specReplicas(draft.deployment);
  const before = numberAnnotation(set, maxReplicasAnnotation) ?? draft.deployment.status?.replicas ?? 0;
  const fraction = wanted === 0 ? -size : before === 0 ? 0 : Math.round((size * (wanted + limitsOf(draft.deployment).maxSurge)) / before) - size;
  return toAdd > 0 ? Math.min(fraction, toAdd - added) : Math.max(fraction, toAdd - added);
}
