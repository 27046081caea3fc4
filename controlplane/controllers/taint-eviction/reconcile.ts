import type { Pod, Taint } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { setCondition } from '#api/meta/conditions.ts';
import { rfc3339 } from '#common/time.ts';
import { keyOf } from '#api/meta/object.ts';
import { tolerates } from '../../scheduler/tolerations.ts';
import { eventAction } from '../execute.ts';
import type { Action } from '../types.ts';

/** How long `pod` may stay with these NoExecute taints, in milliseconds: 0 for not at all, Infinity for good. */
export function stayMs(pod: Pod, taints: readonly Taint[]): number {
  let seconds = Infinity;
  for (const taint of taints) {
    const matching = (pod.spec?.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
    if (matching.length === 0) return 0;
    for (const { tolerationSeconds } of matching) seconds = Math.min(seconds, tolerationSeconds ?? Infinity);
  }
  return Math.max(0, seconds * 1000);
}

/** Deletes the pod and says why. It stays Terminating until its node confirms, if that ever comes back. */
export function evict(pod: Pod, nowMs: number): Action[] {
  const message = 'Taint manager: deleting due to NoExecute taint';
  const conditions = setCondition(pod.status?.conditions, { type: 'DisruptionTarget', status: 'True', reason: 'DeletionByTaintManager', message }, rfc3339(nowMs));
  return [
    eventAction(pods, pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${keyOf(pod)}`),
    { type: 'patch', resource: pods, namespace: pod.metadata?.namespace, name: pod.metadata?.name ?? '', patch: { metadata: { uid: pod.metadata?.uid, resourceVersion: pod.metadata?.resourceVersion }, status: { conditions } }, subresource: 'status' },
    { type: 'delete', resource: pods, object: pod },
  ];
}

export function cancelled(pod: Pod): Action {
  return eventAction(pods, pod, 'Normal', 'TaintManagerEviction', `Cancelling deletion of Pod ${keyOf(pod)}`);
}
