import { splitKey } from '#api/meta/object.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { WorkQueue } from '#common/work-queue.ts';
import { SpinGuard } from './spin-guard.ts';
import type { Controller } from './types.ts';
import type { QueueState, WorkMetrics } from './work-metrics.ts';

export interface RunnerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** Counts every look; absent where nobody asks, as in some tests. */
  readonly metrics?: WorkMetrics;
}

/** Counted since the start, and how the queue is now. */
export interface ControllerMetrics extends QueueState {
  readonly processed: number;
  readonly errors: number;
  /** Keys that wait for their time. */
  readonly delayed: number;
}

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
  readonly #spin: SpinGuard;
  readonly #counts = { processed: 0, errors: 0, retries: 0, slowed: 0 };
  /** When each look under way began. */
  readonly #running = new Map<string, number>();
  /** Keys whose last look ended with something that is not allowed: what somebody else changes may help them. */
  readonly #refused = new Set<string>();

  constructor(deps: RunnerDeps, name: string, controller: Controller) {
    this.#name = name;
    this.#controller = controller;
    this.#deps = deps;
    this.#log = deps.log.child({ controller: name });
    this.#queue = new WorkQueue(deps);
    this.#spin = new SpinGuard(deps.clock);
  }

  get metrics(): ControllerMetrics {
    const now = this.#deps.clock.monotonic();
    const { depth, delayed, adds } = this.#queue;
    return { ...this.#counts, depth, delayed, adds, spinning: this.#spin.spinning, runningMs: [...this.#running.values()].map((began) => now - began) };
  }

  /** Looks again at once at what was refused in a namespace, in which there is more room now. */
  roomIn(namespace: string): void {
    for (const key of this.#refused) if (splitKey(key).namespace === namespace) this.#queue.add(key);
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
      this.#refused.clear();
    }
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (;;) {
      const next = await this.#take(signal);
      if (next === undefined) return;
      const { key, waitedMs } = next;
      if (this.#isPutOff(key)) continue;
      const began = this.#deps.clock.monotonic();
      this.#running.set(key, began);
      try {
        const result = await this.#controller.reconcile(key, signal);
        this.#queue.forget(key);
        this.#refused.delete(key);
        if (result?.afterMs !== undefined) this.#queue.addAfter(key, result.afterMs);
      } catch (error) {
        if (!isAbort(error, signal)) this.#failed(key, error);
      }
      this.#queue.done(key);
      this.#running.delete(key);
      this.#counts.processed += 1;
      this.#deps.metrics?.observe(this.#name, waitedMs, this.#deps.clock.monotonic() - began);
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
    if (isStatus(error, 'Forbidden')) this.#refused.add(key);
    else this.#refused.delete(key);
    if (isStatus(error, 'ServiceUnavailable', 'TooManyRequests')) this.#queue.addAfter(key, maxOutageWaitMs);
    if (isStatus(error, 'Conflict', 'NotFound') && this.#queue.failures(key) <= quietRetries) {
      this.#log.debug({ key, err: messageOf(error) }, 'cache was behind, trying again');
      return;
    }
    this.#counts.errors += 1;
    const stack = isStatus(error) || !(error instanceof Error) ? undefined : error.stack;
    this.#log.warn({ key, failures: this.#queue.failures(key), err: messageOf(error), stack }, 'reconcile failed, trying again');
  }

  /** True when `key` was looked at too often of late: a mistake then costs a look now and then instead of a core. */
  #isPutOff(key: string): boolean {
    const waitMs = this.#spin.waitMs(key);
    if (waitMs === 0) return false;
    if (!this.#queue.isDelayed(key)) this.#log.warn({ key, waitMs }, 'key changes without end, slowing down');
    this.#counts.slowed += 1;
    this.#queue.addAfter(key, waitMs);
    this.#queue.done(key);
    return true;
  }
}
