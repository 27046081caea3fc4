import type { Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';
import type { Log } from '#common/log.ts';
import type { Lister } from '../cache/types.ts';
import type { SchedulerCache } from './cache.ts';
import type { SchedulingQueue } from './queue.ts';
import type { PodInfo } from './types.ts';

export interface AssumptionsDeps {
  readonly cache: SchedulerCache;
  readonly queue: SchedulingQueue;
  readonly pods: Pick<Lister<Pod>, 'get'>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Watches over pods that are bound as far as we know but that the informer has not shown on their node yet.
 * One that stays unconfirmed for too long is dropped, and queued again if it turns out to have no node.
 */
export class Assumptions {
  readonly #deps: AssumptionsDeps;
  readonly #ttlMs: number;
  /** Oldest first: all wait equally long. */
  readonly #waiting = new Map<string, { readonly pod: PodInfo; readonly expiresAtMs: number }>();
  #cancelTimer: (() => void) | undefined;

  constructor(deps: AssumptionsDeps, { assumedTtlMs }: { assumedTtlMs: number }) {
    this.#deps = deps;
    this.#ttlMs = assumedTtlMs;
  }

  /** The pod's binding succeeded, or may have. */
  bound(pod: PodInfo): void {
    if (!this.#deps.cache.isAssumed(pod.uid)) return;
    this.#waiting.set(pod.uid, { pod, expiresAtMs: this.#deps.clock.monotonic() + this.#ttlMs });
    this.#setTimer();
  }

  close(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  #setTimer(): void {
    this.#cancelTimer ??= this.#deps.clock.after(this.#ttlMs, () => { this.#expire(); });
  }

  #expire(): void {
    this.#cancelTimer = undefined;
    const now = this.#deps.clock.monotonic();
    for (const [uid, { pod, expiresAtMs }] of this.#waiting) {
      const confirmed = !this.#deps.cache.isAssumed(uid);
      if (!confirmed && expiresAtMs > now) break;
      this.#waiting.delete(uid);
      if (!confirmed) this.#drop(pod);
    }
    if (this.#waiting.size > 0) this.#setTimer();
  }

  #drop(pod: PodInfo): void {
    const { cache, queue, pods, log } = this.#deps;
    log.warn({ namespace: pod.namespace, name: pod.name }, 'bound pod was never seen on its node');
    const node = cache.nodeOf(pod.uid);
    cache.forget(pod.uid);
    const current = pods.get(pod.namespace, pod.name);
    if (current?.metadata?.uid === pod.uid && !current.spec?.nodeName && !current.metadata.deletionTimestamp) queue.set(pod, false);
    queue.on({ type: 'assigned-pod-deleted', pod, node });
  }
}
