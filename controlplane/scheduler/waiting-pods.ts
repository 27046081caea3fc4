import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import type { PodInfo } from './types.ts';

/** A pod refused while it waited for permission. */
export class PermitRefused extends Error {
  readonly plugin: string;
  readonly reason: string;

  constructor(plugin: string, reason: string) {
    super(reason);
    this.plugin = plugin;
    this.reason = reason;
  }
}

interface Waiting {
  /** Plugins that have not allowed it yet. */
  readonly pending: Set<string>;
  readonly settle: (refusal?: Error) => void;
}

/** No plugin may hold a pod, and what is reserved for it, longer. */
const longestWaitMs = 900_000;

/** Pods that have a node, and wait there until every Permit plugin that asked for time allows them. */
export class WaitingPods {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when all of `waits` (milliseconds by plugin) have allowed the pod; rejects with PermitRefused when one refuses, or its time is over. */
  async wait(pod: PodInfo, waits: ReadonlyMap<string, number>, signal: AbortSignal): Promise<void> {
    if (waits.size === 0) return;
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const settle = (refusal?: Error): void => { if (refusal) reject(refusal); else resolve(undefined); };
    this.#waiting.set(pod.uid, { pending: new Set(waits.keys()), settle });
    const timers = [...waits].map(([plugin, ms]) => this.#clock.after(Math.min(ms, longestWaitMs), () => {
      if (this.#waiting.get(pod.uid)?.pending.has(plugin)) settle(new PermitRefused(plugin, `timed out waiting on permit for ${plugin}`));
    }));
    const abort = (): void => { settle(signal.reason instanceof Error ? signal.reason : new StatusError('Timeout', 'stopped')); };
    signal.addEventListener('abort', abort, { once: true });
    try {
      if (signal.aborted) abort();
      await promise;
    } finally {
      signal.removeEventListener('abort', abort);
      for (const cancel of timers) cancel();
      this.#waiting.delete(pod.uid);
    }
  }

  has(uid: string): boolean {
    return this.#waiting.has(uid);
  }

  allow(uid: string, plugin: string): void {
    const waiting = this.#waiting.get(uid);
    if (waiting?.pending.delete(plugin) && waiting.pending.size === 0) waiting.settle();
  }

  /** False when the pod does not wait. */
  refuse(uid: string, plugin: string, reason: string): boolean {
    const waiting = this.#waiting.get(uid);
    waiting?.settle(new PermitRefused(plugin, reason));
    return waiting !== undefined;
  }
}
