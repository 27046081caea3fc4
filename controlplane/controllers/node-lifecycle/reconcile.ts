import { fencedTaint, fenceOf, isFencedTaint, outOfServiceTaint } from '#api/disconnect/policy.ts';
import type { Node, NodeCondition, Pod, Taint } from '#api/gen/types.ts';
import { nodes, pods } from '#api/kinds/resources.ts';
import { getCondition, setCondition } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import { rfc3339 } from '#common/time.ts';
import { eventAction } from '../execute.ts';
import { isReady } from '../pod-state.ts';
import type { Action } from '../types.ts';

export const notReadyTaint = 'node.kubernetes.io/not-ready';
export const unreachableTaint = 'node.kubernetes.io/unreachable';
const unschedulableTaint = 'node.kubernetes.io/unschedulable';

/** Conditions that keep new pods away while they are True. */
const pressureTaints: Readonly<Record<string, string>> = {
  MemoryPressure: 'node.kubernetes.io/memory-pressure',
  DiskPressure: 'node.kubernetes.io/disk-pressure',
  PIDPressure: 'node.kubernetes.io/pid-pressure',
  NetworkUnavailable: 'node.kubernetes.io/network-unavailable',
};
const ownTaints: ReadonlySet<string> = new Set([notReadyTaint, unreachableTaint, unschedulableTaint, ...Object.values(pressureTaints)]);

/** What a node says about itself, and what is not known of a silent one. */
const reportedConditions = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'] as const;

export interface NodeSnapshot {
  readonly node: Node;
  /** Nothing was heard of it for the grace period. */
  readonly lost: boolean;
  /** Pods may be evicted from this node now. */
  readonly evict: boolean;
  /** Bound to the node. */
  readonly pods: readonly Pod[];
  readonly nowMs: number;
}

export function isReadyNode(node: Node): boolean {
  return getCondition(node.status?.conditions, 'Ready')?.status === 'True';
}

/** Pods that do not tolerate the node's state are on their way out. */
export function isEvictedFrom(node: Node): boolean {
  return (node.spec?.taints ?? []).some(({ key, effect }) => effect === 'NoExecute' && (key === notReadyTaint || key === unreachableTaint));
}

/** It has said, or it is known, that it is not ready; one that never reported has no pods to lose. */
export function wantsEviction(node: Node): boolean {
  return getCondition(node.status?.conditions, 'Ready') !== undefined && !isReadyNode(node);
}

/**
 * Conditions of a silent node; once those are written, readiness of its pods and its taints. The next look comes
 * with the change that this one made. By then whatever waited for the disk before it is known too: while a disk
 * stalls, heartbeats do not get through either, and then the silence was not the node's.
 */
export function reconcileNode(snapshot: NodeSnapshot): Action[] {
  const { node, lost, nowMs } = snapshot;
  if (node.metadata?.deletionTimestamp !== undefined) return [];
  const ready = getCondition(node.status?.conditions, 'Ready');
  if (lost) {
    const conditions = unknownConditions(node, nowMs);
    if (!equal(conditions, node.status?.conditions ?? [])) {
      const update: Action = { type: 'update', resource: nodes, object: { ...node, status: { ...node.status, conditions } } as Node, subresource: 'status' };
      const event = eventAction(nodes, node, 'Normal', 'NodeNotReady', `Node ${node.metadata?.name ?? ''} status is now: NodeNotReady`);
      return ready?.status === 'Unknown' ? [update] : [update, event];
    }
  } else if (ready?.status === 'Unknown') {
    // Heard of, or not silent for long enough since we started: nothing is known until it reports.
    return [];
  }
  const podWrites = lost ? snapshot.pods.filter(isReady).flatMap((pod) => notReady(pod, nowMs)) : [];
  const taints = wantedTaints(snapshot, ready);
  if (equal(taints, node.spec?.taints ?? [])) return podWrites;
  return [...podWrites, { type: 'update', resource: nodes, object: { ...node, spec: { ...node.spec, taints } } as Node }];
}

function unknownConditions(node: Node, nowMs: number): NodeCondition[] {
  const now = rfc3339(nowMs);
  let conditions: NodeCondition[] = node.status?.conditions ?? [];
  for (const type of reportedConditions) {
    const old = getCondition(conditions, type);
    if (old?.status === 'Unknown') continue;
    const [reason, message] = old
      ? ['NodeStatusUnknown', 'Kubelet stopped posting node status.']
      : ['NodeStatusNeverUpdated', 'Kubelet never posted node status.'];
    conditions = setCondition(conditions, { ...old, type, status: 'Unknown', reason, message }, now);
  }
  return conditions;
}

/** Nobody can vouch for the pod, so Services stop sending to it. */
function notReady(pod: Pod, nowMs: number): Action[] {
  const ready = getCondition(pod.status?.conditions, 'Ready');
  if (ready === undefined) return [];
  const conditions = setCondition(pod.status?.conditions, { ...ready, status: 'False' }, rfc3339(nowMs));
  return [
    { type: 'update', resource: pods, object: { ...pod, status: { ...pod.status, conditions } } as Pod, subresource: 'status' },
    eventAction(pods, pod, 'Warning', 'NodeNotReady', 'Node is not ready'),
  ];
}

function wantedTaints({ node, evict, nowMs }: NodeSnapshot, ready: NodeCondition | undefined): Taint[] {
  const present = node.spec?.taints ?? [];
  const timeAdded = rfc3339(nowMs);
  const wanted: Taint[] = [];
  const want = (key: string, effect: string): void => {
    wanted.push(present.find((t) => t.key === key && t.effect === effect) ?? { key, effect, timeAdded });
  };
  if (ready?.status !== 'True') {
    const key = ready?.status === 'Unknown' ? unreachableTaint : notReadyTaint;
    want(key, 'NoSchedule');
    if (ready !== undefined && evict) want(key, 'NoExecute');
  }
  for (const [type, key] of Object.entries(pressureTaints)) {
    if (getCondition(node.status?.conditions, type)?.status === 'True') want(key, 'NoSchedule');
  }
  if (node.spec?.unschedulable === true) want(unschedulableTaint, 'NoSchedule');
  if (fenceOf(node) !== undefined) wanted.push(present.find(({ key, effect }) => key === outOfServiceTaint && effect === fencedTaint.effect) ?? { ...fencedTaint, timeAdded });
  const kept = present.filter((taint) => !(ownTaints.has(taint.key) || isFencedTaint(taint)) || wanted.includes(taint));
  return [...kept, ...wanted.filter((taint) => !present.includes(taint))];
}
