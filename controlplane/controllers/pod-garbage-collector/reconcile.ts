import { disconnectPolicyOf, fenceOf, keepsOne, outOfServiceTaint } from '#api/disconnect/policy.ts';
import type { Node, Pod } from '#api/gen/types.ts';
import { pods as podResource } from '#api/kinds/resources.ts';
import { getCondition, setCondition } from '#api/meta/conditions.ts';
import { rfc3339 } from '#common/time.ts';
import { isTolerated } from '#api/pod-spec/tolerations.ts';
import { eventAction } from '../execute.ts';
import { isTerminal, isTerminating } from '../pod-state.ts';
import type { Action, Decision } from '../types.ts';

export interface NodeSnapshot {
  readonly node: Node;
  /** Bound to the node. */
  readonly pods: readonly Pod[];
  /** Uids of the pods that the node's present fence found. */
  readonly fenced: ReadonlySet<string>;
  /** For how long at least the node has had no contact; 0 when that is not known. */
  readonly silentMs: number;
  readonly nowMs: number;
}

/** Removes the pods of a node that is gone, at once: nobody is left to stop them in order. */
export function reconcileMissingNode(pods: readonly Pod[], nowMs: number): Action[] {
  return pods.flatMap((pod) => removal(pod, 'PodGC: node no longer exists', nowMs));
}

/** Removes pods that cannot run any more, or may not be waited for, though their node has not confirmed that they ended. */
export function reconcileNode(snapshot: NodeSnapshot): Decision {
  const { node, pods, nowMs } = snapshot;
  const actions: Action[] = [];
  let afterMs: number | undefined;
  for (const pod of pods) {
    const why = fenceOf(node) !== undefined ? fencedReason(snapshot, pod) : isTerminating(pod) ? terminatingReason(snapshot, pod) : undefined;
    if (typeof why === 'string') actions.push(...removal(pod, why, nowMs));
    else if (why !== undefined) afterMs = Math.min(afterMs ?? Infinity, why);
  }
  return { actions, afterMs };
}

/** True while it matters since when the node has been silent. */
export function isAway(node: Node, pods: readonly Pod[]): boolean {
  return getCondition(node.status?.conditions, 'Ready')?.status === 'Unknown' && pods.some(keepsOne);
}

/** What was there when the fence came is dead. What came later only because it tolerates everything waits for the host. */
function fencedReason({ node, fenced }: NodeSnapshot, pod: Pod): string | undefined {
  const taint = node.spec?.taints?.find(({ key }) => key === outOfServiceTaint);
  if (!fenced.has(pod.metadata?.uid ?? '') && taint && isTolerated(taint, pod.spec?.tolerations)) return undefined;
  return 'PodGC: node was fenced, its host is dead';
}

/** Why a pod that is being deleted may be removed without its node's word; a number says in how many milliseconds it may. */
function terminatingReason({ node, silentMs }: NodeSnapshot, pod: Pod): string | number | undefined {
  const ready = getCondition(node.status?.conditions, 'Ready')?.status === 'True';
  if (!ready && (node.spec?.taints ?? []).some(({ key }) => key === outOfServiceTaint)) return 'PodGC: node is out of service';
  const policy = keepsOne(pod) ? disconnectPolicyOf(pod) : undefined;
  if (!policy || ready) return undefined;
  return silentMs >= policy.replaceAfterMs ? 'PodGC: the host has been without contact for so long that it has ended its copy' : policy.replaceAfterMs - silentMs;
}

/** Kubernetes' way: failed, with the condition that says that it was a disruption; then gone. */
function removal(pod: Pod, message: string, nowMs: number): Action[] {
  const { namespace, name = '', uid } = pod.metadata ?? {};
  const conditions = setCondition(pod.status?.conditions, { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByPodGC', message }, rfc3339(nowMs));
  const failed: Action[] = isTerminal(pod) ? [] : [{ type: 'patch', resource: podResource, namespace, name, patch: { metadata: { uid }, status: { phase: 'Failed', conditions } }, subresource: 'status' }];
  return [...failed, eventAction(podResource, pod, 'Normal', 'PodGarbageCollected', message), { type: 'delete', resource: podResource, object: pod, options: { gracePeriodSeconds: 0 } }];
}
