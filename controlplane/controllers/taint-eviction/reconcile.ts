import { disconnectPolicyOf, isReplaced, replacedCondition } from '#api/disconnect/policy.ts';
import type { Pod, Taint } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { setCondition } from '#api/meta/conditions.ts';
import { rfc3339 } from '#common/time.ts';
import { keyOf } from '#api/meta/object.ts';
import { tolerates } from '#api/pod-spec/tolerations.ts';
import { eventAction } from '../execute.ts';
import { isReady, isTerminal } from '../pod-state.ts';
import type { Action, Decision } from '../types.ts';

/** An original that is back, but not ready for so long, is given up: the pod in its stead stays. */
const returnMs = 300_000;

/** Taints that say that a node is ill or cannot be heard. */
export function isOfHealth({ key }: Taint): boolean {
  return key === 'node.kubernetes.io/not-ready' || key === 'node.kubernetes.io/unreachable';
}

/** How long `pod` may stay with these NoExecute taints, in milliseconds: 0 for not at all, Infinity for good. A disconnect policy takes the place of tolerations of a node's health. */
export function stayMs(pod: Pod, taints: readonly Taint[]): number {
  const policy = disconnectPolicyOf(pod);
  let stay = Infinity;
  for (const taint of taints) {
    if (policy && isOfHealth(taint)) {
      // A replaced pod is where it should be: it waits for its host.
      if (policy.action === 'replace' && !isReplaced(pod)) stay = Math.min(stay, policy.replaceAfterMs);
      continue;
    }
    const matching = (pod.spec?.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
    if (matching.length === 0) return 0;
    for (const { tolerationSeconds } of matching) stay = Math.min(stay, (tolerationSeconds ?? Infinity) * 1000);
  }
  return Math.max(0, stay);
}

/** The pod's time on this node is over: it is evicted, or, when it is to go on once its host is back, marked for another to stand in. */
export function leave(pod: Pod, taints: readonly Taint[], nowMs: number): Action[] {
  const byPolicy = stayMs(pod, taints.filter((taint) => !isOfHealth(taint))) > 0;
  return byPolicy && !isTerminal(pod) && disconnectPolicyOf(pod)?.onReturn === 'original' ? replace(pod, nowMs) : evict(pod, nowMs);
}

/** Deletes the pod and says why. It stays Terminating until its node confirms, if that ever comes back. */
function evict(pod: Pod, nowMs: number): Action[] {
  const message = 'Taint manager: deleting due to NoExecute taint';
  const conditions = setCondition(pod.status?.conditions, { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager', message }, rfc3339(nowMs));
  return [
    eventAction(pods, pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${keyOf(pod)}`),
    statusPatch(pod, conditions),
    { type: 'delete', resource: pods, object: pod },
  ];
}

function replace(pod: Pod, nowMs: number): Action[] {
  const message = 'The host is away; another pod stands in until it is back';
  return [
    statusPatch(pod, setCondition(pod.status?.conditions, { type: replacedCondition, status: 'True', reason: 'HostDisconnected', message }, rfc3339(nowMs))),
    eventAction(pods, pod, 'Warning', 'HostDisconnected', message),
  ];
}

/** What becomes of a replaced pod whose host has been back for `backMs`: once it is ready it counts again, and the one in its stead is too many. */
export function actionOnReturn(pod: Pod, backMs: number, nowMs: number): Decision {
  if (isReady(pod)) {
    const message = 'The host is back and the pod is ready; the pod that stood in for it leaves';
    return {
      actions: [
        statusPatch(pod, setCondition(pod.status?.conditions, { type: replacedCondition, status: 'False', reason: 'HostReturned', message }, rfc3339(nowMs))),
        eventAction(pods, pod, 'Normal', 'HostReturned', message),
      ],
    };
  }
  if (backMs < returnMs) return { actions: [], afterMs: returnMs - backMs };
  return { actions: [eventAction(pods, pod, 'Warning', 'HostReturned', 'The host is back, but the pod does not become ready; the pod that stands in for it stays'), { type: 'delete', resource: pods, object: pod }] };
}

/** Of the pod as it was seen. */
function statusPatch({ metadata }: Pod, conditions: NonNullable<Pod['status']>['conditions']): Action {
  return { type: 'patch', resource: pods, namespace: metadata?.namespace, name: metadata?.name ?? '', patch: { metadata: { uid: metadata?.uid, resourceVersion: metadata?.resourceVersion }, status: { conditions } }, subresource: 'status' };
}

export function cancelled(pod: Pod): Action {
  return eventAction(pods, pod, 'Normal', 'TaintManagerEviction', `Cancelling deletion of Pod ${keyOf(pod)}`);
}
