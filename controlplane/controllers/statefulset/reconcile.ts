import type { ControllerRevision, Pod, StatefulSet } from '#api/gen/types.ts';
import { statefulSets } from '#api/kinds/resources.ts';
import { scaledValue } from '#api/meta/int-or-percent.ts';
import { eventAction } from '../execute.ts';
import { withMetadata } from '../owner-refs.ts';
import { availableInMs, isReady, isTerminal, isTerminating } from '../pod-state.ts';
import type { Action } from '../types.ts';
import { identityLabels, nameOf, ordinalOf, revisionOf, specReplicas, startOrdinal, statefulPod } from './identity.ts';

export interface StatefulSnapshot {
  readonly set: StatefulSet;
  /** Those it controls; only such as have a name of the set's. */
  readonly pods: readonly Pod[];
  /** The revision of the set's template, and the one that pods below the partition have. */
  readonly update: ControllerRevision;
  readonly current: ControllerRevision;
  readonly nowMs: number;
}

export interface StatefulPlan {
  readonly create: readonly Pod[];
  readonly remove: readonly Pod[];
  /** Pods to be written with the labels they have to have. */
  readonly relabel: readonly Pod[];
  readonly events: readonly Action[];
}

const nothing: StatefulPlan = { create: [], remove: [], relabel: [], events: [] };

/**
 * The next step: pods that are missing, in order and each when those before it are available; then those that are too
 * many, from the last; then the update, from the last. With Parallel management pods do not wait for each other, but
 * for the update all the same.
 */
export function planStatefulSet(snapshot: StatefulSnapshot): StatefulPlan {
  const { set } = snapshot;
  if (set.metadata?.deletionTimestamp !== undefined) return nothing;
  const { replicas, condemned } = byOrdinal(snapshot);
  const living = fill(snapshot, replicas);
  if (living.blocked) return living;
  const scaled = shrink(snapshot, replicas, condemned);
  return { ...living, remove: [...living.remove, ...scaled.remove, ...(scaled.blocked ? [] : updateStep(snapshot, replicas))] };
}

type Replica = { readonly ordinal: number; readonly pod: Pod | undefined };

function byOrdinal({ set, pods }: StatefulSnapshot): { replicas: Replica[]; condemned: Pod[] } {
  const start = startOrdinal(set);
  const byNumber = new Map(pods.map((pod) => [ordinalOf(set, pod) ?? -1, pod]));
  const replicas = Array.from({ length: specReplicas(set) }, (_, i) => ({ ordinal: start + i, pod: byNumber.get(start + i) }));
  const condemned = [...byNumber].filter(([ordinal]) => ordinal >= 0 && (ordinal < start || ordinal >= start + replicas.length)).sort(([a], [b]) => b - a).map(([, pod]) => pod);
  return { replicas, condemned };
}

function isOrdered(set: StatefulSet): boolean {
  return set.spec?.podManagementPolicy !== 'Parallel';
}

function isHealthy({ set, nowMs }: StatefulSnapshot, pod: Pod | undefined): boolean {
  return pod !== undefined && !isTerminating(pod) && pod.status?.phase === 'Running' && availableInMs(pod, set.spec?.minReadySeconds ?? 0, nowMs) === 0;
}

function fill(snapshot: StatefulSnapshot, replicas: readonly Replica[]): StatefulPlan & { blocked: boolean } {
  const { set } = snapshot;
  const plan = { create: [] as Pod[], remove: [] as Pod[], relabel: [] as Pod[], events: [] as Action[] };
  const ordered = isOrdered(set);
  let blocked = false;
  for (const { ordinal, pod } of replicas) {
    if (pod === undefined) {
      plan.create.push(statefulPod(set, revisionFor(snapshot, ordinal), ordinal));
    } else if (isTerminal(pod)) {
      plan.events.push(replacing(set, pod));
      if (!isTerminating(pod)) plan.remove.push(pod);
      blocked = true;
    } else if (isHealthy(snapshot, pod) || !ordered) {
      plan.relabel.push(...mislabelled(set, pod, ordinal));
      continue;
    } else if (isBrokenTarget(snapshot, replicas, ordinal)) {
      plan.remove.push(pod);
    }
    if (ordered) return { ...plan, blocked: true };
  }
  return { ...plan, blocked };
}

/** Below the partition pods are made as they were. */
function revisionFor({ set, current, update }: StatefulSnapshot, ordinal: number): ControllerRevision {
  const { type, rollingUpdate } = set.spec?.updateStrategy ?? {};
  const kept = rollingUpdate === undefined ? set.status?.currentReplicas ?? 0 : rollingUpdate.partition ?? 0;
  return type !== 'OnDelete' && ordinal < startOrdinal(set) + kept ? current : update;
}

/** Whatever ended the pod (a node that was stopped, say), it was meant to go on. */
function replacing(set: StatefulSet, pod: Pod): Action {
  const name = `${set.metadata?.namespace ?? ''}/${set.metadata?.name ?? ''}`;
  return pod.status?.phase === 'Failed' ? eventAction(statefulSets, set, 'Warning', 'RecreatingFailedPod', `StatefulSet ${name} is recreating failed Pod ${pod.metadata?.name ?? ''}`)
    : eventAction(statefulSets, set, 'Normal', 'RecreatingTerminatedPod', `StatefulSet ${name} is recreating terminated Pod ${pod.metadata?.name ?? ''}`);
}

function mislabelled(set: StatefulSet, pod: Pod, ordinal: number): Pod[] {
  const wanted = identityLabels(set, ordinal);
  const labels = pod.metadata?.labels;
  return Object.entries(wanted).every(([key, value]) => labels?.[key] === value) ? [] : [withMetadata(pod, { labels: { ...labels, ...wanted } })];
}

/**
 * A pod that never became ready, which the update would replace next anyway: waiting for it would leave a broken
 * rollout stuck for ever, though its template was put right. Kubernetes asks the user to delete such a pod.
 */
function isBrokenTarget({ set, update }: StatefulSnapshot, replicas: readonly Replica[], ordinal: number): boolean {
  if (set.spec?.updateStrategy?.type === 'OnDelete' || ordinal < startOrdinal(set) + (set.spec?.updateStrategy?.rollingUpdate?.partition ?? 0)) return false;
  const target = replicas.findLast(({ pod }) => pod === undefined || revisionOf(pod) !== nameOf(update));
  return target?.ordinal === ordinal && target.pod !== undefined && !isTerminating(target.pod) && !isReady(target.pod);
}

function shrink(snapshot: StatefulSnapshot, replicas: readonly Replica[], condemned: readonly Pod[]): { remove: Pod[]; blocked: boolean } {
  if (!isOrdered(snapshot.set)) return { remove: condemned.filter((pod) => !isTerminating(pod)), blocked: false };
  const ended = condemned.filter((pod) => isTerminal(pod) && !isTerminating(pod));
  // They serve nobody, and nothing heals them: nobody need wait for them or before them.
  if (ended.length > 0) return { remove: ended, blocked: true };
  const [last] = condemned;
  if (last === undefined) return { remove: [], blocked: false };
  const firstUnhealthy = replicas.find(({ pod }) => !isHealthy(snapshot, pod))?.pod ?? condemned.findLast((pod) => !isHealthy(snapshot, pod));
  const mayGo = !isTerminating(last) && (isHealthy(snapshot, last) || last === firstUnhealthy);
  return { remove: mayGo ? [last] : [], blocked: true };
}

function updateStep(snapshot: StatefulSnapshot, replicas: readonly Replica[]): Pod[] {
  const { set, update } = snapshot;
  const { type, rollingUpdate } = set.spec?.updateStrategy ?? {};
  if (type === 'OnDelete') return [];
  const first = startOrdinal(set) + (rollingUpdate?.partition ?? 0);
  const targets = replicas.filter(({ ordinal }) => ordinal >= first).toReversed();
  const isOld = ({ pod }: Replica): boolean => pod !== undefined && revisionOf(pod) !== nameOf(update) && !isTerminating(pod);
  if (rollingUpdate?.maxUnavailable === undefined) {
    // From the last: one at a time, and each only when those after it are well.
    const next = targets.find((replica) => isOld(replica) || !isHealthy(snapshot, replica.pod));
    return next?.pod !== undefined && isOld(next) ? [next.pod] : [];
  }
  const allowed = Math.max(1, scaledValue(rollingUpdate.maxUnavailable, replicas.length, 'down'));
  const unavailable = replicas.filter(({ pod }) => !isHealthy(snapshot, pod)).length;
  return targets.filter(isOld).slice(0, Math.max(0, allowed - unavailable)).flatMap(({ pod }) => pod ?? []);
}
