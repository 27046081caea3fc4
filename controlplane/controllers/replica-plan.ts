import { isReplaced, keepsOne } from '#api/disconnect/policy.ts';
import type { Pod, ReplicaSet, ReplicaSetCondition, ReplicaSetStatus } from '#api/gen/types.ts';
import type { Resource } from '#api/kinds/resources.ts';
import { setCondition } from '#api/meta/conditions.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { rfc3339 } from '#common/time.ts';
import { omitZero } from './omit-zero.ts';
import { claim, isControlledBy } from './owner-refs.ts';
import { availableInMs, isActive, isReady, isTerminal, isTerminating } from './pod-state.ts';
import { podsToDelete } from './pod-ranking.ts';
import { needlessStandIns, withoutStandIn } from './stand-ins.ts';

export interface ReplicaSetSnapshot {
  readonly resource: Resource;
  readonly replicaSet: ReplicaSet;
  /** Those it controls and those of its namespace that nobody controls. */
  readonly pods: readonly Pod[];
  /** Pods of all ReplicaSets of the same owner, for choosing whom to delete. */
  readonly siblings: () => readonly Pod[];
  readonly nowMs: number;
  /** Most pods created or deleted in one step. */
  readonly burst: number;
}

export interface ReplicaSetPlan {
  /** Pods to write with their owner reference added or taken away. */
  readonly claims: readonly Pod[];
  /** Pods that count: active, controlled and matching. */
  readonly active: readonly Pod[];
  readonly create: number;
  /** Uids of pods that the first of those created stand in for. */
  readonly standInsFor: readonly string[];
  readonly remove: readonly Pod[];
}

/**
 * Pods to adopt and release, how many to create and which to delete. Pods that ended or are ending do not count, nor those
 * that another stands in for. One of which there may be a single copy holds its place until it is gone.
 */
export function planReplicaSet(snapshot: ReplicaSetSnapshot): ReplicaSetPlan {
  const { resource, replicaSet, burst } = snapshot;
  const requirements = requirementsOf(replicaSet.spec?.selector);
  const { owned, adopt, release } = claim(resource, replicaSet, snapshot.pods.filter(isActive), (pod) => matchesLabels(requirements, pod.metadata?.labels));
  const present = [...owned, ...adopt];
  const active = present.filter((pod) => !isReplaced(pod));
  const ending = snapshot.pods.filter((pod) => isTerminating(pod) && !isTerminal(pod) && isControlledBy(pod, replicaSet.metadata?.uid) && keepsOne(pod));
  const replicas = replicaSet.spec?.replicas ?? 1;
  const settled = replicaSet.metadata?.deletionTimestamp !== undefined;
  const create = settled ? 0 : Math.min(burst, Math.max(0, replicas - active.length - ending.length));
  return {
    claims: [...adopt, ...release],
    active,
    create,
    standInsFor: create > 0 ? withoutStandIn(present).slice(0, create) : [],
    remove: settled ? [] : surplus(snapshot, present, active, replicas),
  };
}

/** Those that stand in for pods that are back go first. */
function surplus({ siblings, nowMs, burst }: ReplicaSetSnapshot, present: readonly Pod[], active: readonly Pod[], replicas: number): readonly Pod[] {
  // Nobody waits for the return of pods that are not wanted any more.
  const away = replicas === 0 ? present.filter(isReplaced) : [];
  const count = Math.min(burst, active.length - replicas);
  if (count <= 0) return away;
  const first = needlessStandIns(present).slice(0, count);
  const rest = active.filter((pod) => !first.includes(pod));
  return [...away, ...first, ...(count > first.length ? podsToDelete(rest, siblings(), count - first.length, nowMs) : [])];
}

/** Why pods could not be made or removed. */
export interface ReplicaFailure { readonly reason: 'FailedCreate' | 'FailedDelete'; readonly message: string }

/** Counts of `active` pods, and whether making and removing them works. */
export function replicaSetStatus(replicaSet: ReplicaSet, active: readonly Pod[], failure: ReplicaFailure | undefined, nowMs: number): ReplicaSetStatus {
  const labels = Object.entries(replicaSet.spec?.template?.metadata?.labels ?? {});
  const minReadySeconds = replicaSet.spec?.minReadySeconds ?? 0;
  const count = (test: (pod: Pod) => boolean): number => active.filter(test).length;
  const status: ReplicaSetStatus = {
    replicas: active.length,
    fullyLabeledReplicas: omitZero(count((pod) => labels.every(([key, value]) => pod.metadata?.labels?.[key] === value))),
    readyReplicas: omitZero(count(isReady)),
    availableReplicas: omitZero(count((pod) => availableInMs(pod, minReadySeconds, nowMs) === 0)),
    observedGeneration: replicaSet.metadata?.generation,
  };
  const conditions = conditionsWith(replicaSet.status?.conditions ?? [], failure, rfc3339(nowMs));
  return conditions.length > 0 ? { ...status, conditions } : status;
}

function conditionsWith(conditions: ReplicaSetCondition[], failure: ReplicaFailure | undefined, now: string): ReplicaSetCondition[] {
  if (failure === undefined) return conditions.filter((c) => c.type !== 'ReplicaFailure');
  if (conditions.some((c) => c.type === 'ReplicaFailure' && c.reason === failure.reason)) return conditions;
  return setCondition(conditions, { type: 'ReplicaFailure', status: 'True', reason: failure.reason, message: failure.message }, now);
}

/** When the next ready pod becomes available, in milliseconds from now; undefined when none is waiting. */
export function nextAvailableInMs(replicaSet: ReplicaSet, active: readonly Pod[], nowMs: number): number | undefined {
  const waits = active.map((pod) => availableInMs(pod, replicaSet.spec?.minReadySeconds ?? 0, nowMs)).filter((ms) => ms !== undefined && ms > 0);
  return waits.length > 0 ? Math.min(...waits as number[]) : undefined;
}
