import type { Node, Pod } from '#api/gen/types.ts';
import { equal } from '#api/meta/equal.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { SchedulerCache } from './cache.ts';
import { architectureOf } from './image-platforms.ts';
import type { Nominator } from './nominator.ts';
import { podInfo } from './pod-info.ts';
import { givenResources, isResizeInfeasible } from './requests.ts';
import type { SchedulingQueue } from './queue.ts';
import type { PodInfo } from './types.ts';

export interface IntakeDeps {
  readonly cache: SchedulerCache;
  readonly queue: SchedulingQueue;
  readonly nominator: Nominator;
  readonly log: Log;
  /** True when pods that name this scheduler are ours. */
  readonly isOurs: (schedulerName: string) => boolean;
  /** Told of pods that a PreEnqueue plugin may keep waiting. */
  readonly onGated: (pod: PodInfo) => void;
}

interface Change<T> {
  readonly object: T | undefined;
  readonly old: T | undefined;
}

/** Sorts what informers report into the queue (pods without a node) and the cache (nodes, and pods on them). */
export class Intake {
  readonly #deps: IntakeDeps;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
  }

  onNode({ object, old }: Change<Node>): void {
    const { cache, queue } = this.#deps;
    this.#guard(object ?? old, () => {
      if (!object) cache.removeNode(old?.metadata?.name ?? '');
      else for (const type of cache.setNode(object)) queue.on({ type, node: cache.node(object.metadata?.name ?? '') });
    });
  }

  onPod({ object, old }: Change<Pod>): void {
    this.#guard(object ?? old, () => {
      if (old && object?.metadata?.uid !== old.metadata?.uid) this.#remove(old);
      const labels = object?.spec?.nodeName ? this.#deps.cache.node(object.spec.nodeName)?.labels : undefined;
      if (object && labels) this.#deps.cache.images.learn(object, architectureOf(labels));
      if (object && !(old && sameToUs(old, object))) this.#set(object);
    });
  }

  #set(pod: Pod): void {
    const { cache, queue, nominator } = this.#deps;
    const uid = pod.metadata?.uid ?? '';
    const nodeName = pod.spec?.nodeName;
    if (isFinished(pod)) {
      this.#remove(pod);
    } else if (nodeName) {
      const oldPod = cache.pod(uid);
      const info = podInfo(pod);
      cache.setPod(info, nodeName);
      queue.delete(uid);
      nominator.delete(uid);
      queue.on({ type: oldPod ? 'assigned-pod-updated' : 'assigned-pod-added', pod: info, oldPod, node: cache.node(nodeName) });
    } else if (this.#deps.isOurs(pod.spec?.schedulerName ?? '') && !pod.metadata?.deletionTimestamp) {
      this.#enqueue(podInfo(pod));
    } else {
      queue.delete(uid);
      nominator.delete(uid);
    }
  }

  #enqueue(info: PodInfo): void {
    const { queue, nominator } = this.#deps;
    const { nominatedNodeName } = info.pod.status ?? {};
    // Room that was made before a restart is still there.
    const earlier = nominator.nodeOf(info.uid) ?? (queue.has(info.uid) ? undefined : nominatedNodeName);
    if (earlier) nominator.set(info, earlier);
    queue.set(info, true);
    if ((info.pod.spec?.schedulingGates?.length ?? 0) > 0) this.#deps.onGated(info);
  }

  #remove(pod: Pod): void {
    const { cache, queue, nominator } = this.#deps;
    const uid = pod.metadata?.uid ?? '';
    queue.delete(uid);
    const nominatedNode = nominator.nodeOf(uid);
    nominator.delete(uid);
    const placed = cache.pod(uid);
    const node = cache.nodeOf(uid);
    if (placed && cache.removePod(uid)) queue.on({ type: 'assigned-pod-deleted', pod: placed, node });
    // Others left room for it.
    else if (nominatedNode !== undefined) queue.on({ type: 'assigned-pod-deleted', pod: podInfo(pod), node: cache.node(nominatedNode) });
  }

  /** One object that makes no sense must not stop the rest from being scheduled. */
  #guard(about: Node | Pod | undefined, work: () => void): void {
    try {
      work();
    } catch (error) {
      const { namespace, name } = about?.metadata ?? {};
      this.#deps.log.error({ namespace, name, err: messageOf(error) }, 'object cannot be used for scheduling');
    }
  }
}

function isFinished(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** Most changes of a pod are to its status and are none of our business. */
function sameToUs(old: Pod, pod: Pod): boolean {
  return isFinished(old) === isFinished(pod)
    && old.metadata?.deletionTimestamp === pod.metadata?.deletionTimestamp
    && equal(old.metadata?.labels, pod.metadata?.labels)
    && equal(old.metadata?.ownerReferences, pod.metadata?.ownerReferences)
    && equal(old.spec, pod.spec)
    && (old.status === pod.status || (isResizeInfeasible(old) === isResizeInfeasible(pod) && equal(givenResources(old), givenResources(pod))));
}
