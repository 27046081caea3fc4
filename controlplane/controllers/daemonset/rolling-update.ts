import type { Pod } from '#api/gen/types.ts';
import { scaledValue } from '#api/meta/int-or-percent.ts';
import { availableInMs, isTerminating } from '../pod-state.ts';
import { fitOf } from './nodes.ts';
import { isUpdated, minReadySeconds, type DaemonSnapshot } from './snapshot.ts';

interface Step { readonly create: readonly string[]; readonly remove: readonly Pod[] }

/** One step of a rolling update: with a surge new pods come first, without one old pods go first. */
export function rollingUpdate(snapshot: DaemonSnapshot, byNode: ReadonlyMap<string, readonly Pod[]>): Step {
  const { maxSurge, maxUnavailable } = limits(snapshot);
  return maxSurge === 0 ? replace(snapshot, byNode, maxUnavailable) : surge(snapshot, byNode, maxSurge);
}

/** Both round up, and something must be allowed. */
function limits({ daemonSet, nodes }: DaemonSnapshot): { maxSurge: number; maxUnavailable: number } {
  const { maxSurge = 0, maxUnavailable = 1 } = daemonSet.spec?.updateStrategy?.rollingUpdate ?? {};
  const wanted = nodes.filter((node) => fitOf(daemonSet, node).run).length;
  const surged = scaledValue(maxSurge, wanted, 'up');
  const unavailable = scaledValue(maxUnavailable, wanted, 'up');
  return { maxSurge: surged, maxUnavailable: surged === 0 && unavailable === 0 ? 1 : unavailable };
}

interface OnNode { readonly newPod: Pod | undefined; readonly oldPod: Pod | undefined }

/** Undefined when there are several of one sort: those are sorted out first. */
function onNode(snapshot: DaemonSnapshot, pods: readonly Pod[]): OnNode | undefined {
  const alive = pods.filter((pod) => !isTerminating(pod));
  const fresh = alive.filter((pod) => isUpdated(snapshot, pod));
  const stale = alive.filter((pod) => !isUpdated(snapshot, pod));
  return fresh.length > 1 || stale.length > 1 ? undefined : { newPod: fresh[0], oldPod: stale[0] };
}

/** Old pods that serve nobody go in any case, others as far as the number of unavailable pods allows. */
function replace(snapshot: DaemonSnapshot, byNode: ReadonlyMap<string, readonly Pod[]>, maxUnavailable: number): Step {
  const isAvailable = availability(snapshot);
  const [idle, candidates]: [Pod[], Pod[]] = [[], []];
  let unavailable = 0;
  for (const pods of byNode.values()) {
    const { newPod, oldPod } = onNode(snapshot, pods) ?? {};
    if (oldPod !== undefined && newPod === undefined) (isAvailable(oldPod) ? candidates : idle).push(oldPod);
    else if (oldPod !== undefined || newPod === undefined || !isAvailable(newPod)) unavailable += 1;
  }
  return { create: [], remove: [...idle, ...candidates.slice(0, Math.max(0, maxUnavailable - unavailable - idle.length))] };
}

/** A new pod beside each old one that serves nobody, and beside as many others as the surge allows; an old one goes when its successor is available. */
function surge(snapshot: DaemonSnapshot, byNode: ReadonlyMap<string, readonly Pod[]>, maxSurge: number): Step {
  const isAvailable = availability(snapshot);
  const [idle, candidates]: [string[], string[]] = [[], []];
  const remove: Pod[] = [];
  let surging = 0;
  for (const [name, pods] of byNode) {
    const found = onNode(snapshot, pods);
    const { newPod, oldPod } = found ?? {};
    if (found === undefined) surging += 1;
    else if (oldPod === undefined) continue;
    else if (newPod === undefined) (isAvailable(oldPod) ? candidates : idle).push(name);
    else if (isAvailable(newPod)) remove.push(oldPod);
    else surging += 1;
  }
  return { create: [...idle, ...candidates.slice(0, Math.max(0, maxSurge - surging))], remove };
}

function availability({ daemonSet, nowMs }: DaemonSnapshot): (pod: Pod) => boolean {
  return (pod) => availableInMs(pod, minReadySeconds(daemonSet), nowMs) === 0;
}
