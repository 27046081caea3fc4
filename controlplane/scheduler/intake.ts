import type { Node, Pod } from '#api/gen/types.ts';
import { equal } from '#api/meta/equal.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { SchedulerCache } from './cache.ts';
import { podInfo } from './pod-info.ts';
import type { SchedulingQueue } from './queue.ts';
import type { PodInfo } from './types.ts';

export interface IntakeDeps {
  readonly cache: SchedulerCache;
  readonly queue: SchedulingQueue;
  readonly log: Log;
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
  readonly #schedulerName: string;

  constructor(deps: IntakeDeps, { schedulerName }: { schedulerName: string }) {
    this.#deps = deps;
    this.#schedulerName = schedulerName;
  }

  onNode({ object, old }: Change<Node>): void {
    const { cache, queue } = this.#deps;
    this.#guard(object ?? old, () => {
      if (!object) cache.removeNode(old?.metadata?.name ?? '');
      else for (const event of cache.setNode(object)) queue.on(event);
    });
  }

  onPod({ object, old }: Change<Pod>): void {
    this.#guard(object ?? old, () => {
      if (old && object?.metadata?.uid !== old.metadata?.uid) this.#remove(old);
      if (object && !(old && sameToUs(old, object))) this.#set(object);
    });
  }

  #set(pod: Pod): void {
    const { cache, queue } = this.#deps;
    const uid = pod.metadata?.uid ?? '';
    const nodeName = pod.spec?.nodeName;
    if (isFinished(pod)) {
      this.#remove(pod);
    } else if (nodeName) {
      const event = cache.has(uid) ? 'assigned-pod-updated' : 'assigned-pod-added';
      cache.setPod(podInfo(pod), nodeName);
      queue.delete(uid);
      queue.on(event);
    } else if (pod.spec?.schedulerName === this.#schedulerName && !pod.metadata?.deletionTimestamp) {
      const info = podInfo(pod);
      queue.set(info, true);
      if ((pod.spec.schedulingGates?.length ?? 0) > 0) this.#deps.onGated(info);
    } else {
      queue.delete(uid);
    }
  }

  #remove(pod: Pod): void {
    const uid = pod.metadata?.uid ?? '';
    this.#deps.queue.delete(uid);
    if (this.#deps.cache.removePod(uid)) this.#deps.queue.on('assigned-pod-deleted');
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
    && equal(old.spec, pod.spec);
}
