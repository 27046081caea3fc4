import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { WorkQueue } from '#common/work-queue.ts';
import type { Controller } from './types.ts';

export interface RunnerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
}

/** Counted since the start. */
export interface ControllerMetrics {
  readonly processed: number;
  readonly errors: number;
  /** Keys put back after an error, those of a stale cache included. */
  readonly retries: number;
  /** Keys waiting now, and keys that wait for their time. */
  readonly depth: number;
  readonly delayed: number;
  /** From a key's arrival to its turn, and from there to its end: sums in milliseconds. */
  readonly waitedMs: number;
  readonly workedMs: number;
}

/** More looks than this at one key within a window mean that it makes no progress: it has to wait for the next window. */
const looksPerWindow = 100;
const windowMs = 1_000;
/** While the store refuses, nothing fails for the key's own sake: nobody should wait long once it takes writes again. */
const maxOutageWaitMs = 10_000;
/** An object changed or went between cache and write. Once that has gone on for so long it is no longer a stale cache. */
const quietRetries = 10;

/**
 * Runs one controller: fills its queue from its watches, and works on keys once all of them have synced.
 * An error brings the key back after a growing back-off; Conflict and NotFound mean a stale cache and need no words.
 */
export class ControllerRunner implements Runnable {
  readonly #name: string;
  readonly #controller: Controller;
  readonly #deps: RunnerDeps;
  readonly #log: Log;
  readonly #queue: WorkQueue;
  readonly #counts = { processed: 0, errors: 0, retries: 0, waitedMs: 0, workedMs: 0 };
  readonly #looks = new Map<string, number>();
  #windowStart = 0;

  constructor(deps: RunnerDeps, name: string, controller: Controller) {
    this.#name = name;
    this.#controller = controller;
    this.#deps = deps;
    this.#log = deps.log.child({ controller: name });
    this.#queue = new WorkQueue(deps);
  }

  get metrics(): ControllerMetrics {
    return { ...this.#counts, depth: this.#queue.depth, delayed: this.#queue.delayed };
  }

  /** Resolves after the signal aborted and the work under way has ended. */
  async start(signal: AbortSignal): Promise<void> {
    const enqueue = (key: string): void => { if (!signal.aborted) this.#queue.add(key); };
    const unsubscribe = this.#controller.watches.map((w) => w.subscribe(enqueue));
    try {
      await Promise.all(this.#controller.watches.map((w) => w.synced(signal)));
      this.#controller.ready?.(enqueue);
      await Promise.all(Array.from({ length: this.#controller.workers ?? 1 }, () => this.#work(signal)));
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      for (const stop of unsubscribe) stop();
      this.#queue.close();
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (;;) {
      const next = await this.#take(signal);
      if (next === undefined) return;
      const { key, waitedMs } = next;
      if (this.#busy(key)) {
        this.#queue.addAfter(key, windowMs);
        this.#queue.done(key);
        continue;
      }
      const began = this.#deps.clock.monotonic();
      try {
        const result = await this.#controller.reconcile(key, signal);
        this.#queue.forget(key);
        if (result?.afterMs !== undefined) this.#queue.addAfter(key, result.afterMs);
      } catch (error) {
        if (!isAbort(error, signal)) this.#failed(key, error);
      }
      this.#queue.done(key);
      this.#counts.processed += 1;
      this.#counts.waitedMs += waitedMs;
      this.#counts.workedMs += this.#deps.clock.monotonic() - began;
    }
  }

  async #take(signal: AbortSignal): Promise<{ key: string; waitedMs: number } | undefined> {
    try {
      return await this.#queue.take(signal);
    } catch (error) {
      if (isAbort(error, signal)) return undefined;
      throw error;
    }
  }

  #failed(key: string, error: unknown): void {
    this.#counts.retries += 1;
    this.#queue.addRateLimited(key);
    if (isStatus(error, 'ServiceUnavailable', 'TooManyRequests')) this.#queue.addAfter(key, maxOutageWaitMs);
    if (isStatus(error, 'Conflict', 'NotFound') && this.#queue.failures(key) <= quietRetries) {
      this.#log.debug({ key, err: messageOf(error) }, 'cache was behind, trying again');
      return;
    }
    this.#counts.errors += 1;
    const stack = isStatus(error) || !(error instanceof Error) ? undefined : error.stack;
    this.#log.warn({ key, failures: this.#queue.failures(key), err: messageOf(error), stack }, 'reconcile failed, trying again');
  }

  /** True when `key` was looked at too often of late. A bug then costs a look per second instead of a core. */
  #busy(key: string): boolean {
    const now = this.#deps.clock.monotonic();
    if (now - this.#windowStart >= windowMs) {
      this.#windowStart = now;
      this.#looks.clear();
    }
    const looks = (this.#looks.get(key) ?? 0) + 1;
    this.#looks.set(key, looks);
    if (looks === looksPerWindow) this.#log.warn({ key, looks, controller: this.#name }, 'key changes without end, slowing down');
    return looks > looksPerWindow;
  }
}
