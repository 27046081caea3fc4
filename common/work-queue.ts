import { backoffMs, type BackoffConfig } from './backoff.ts';
import type { Clock } from './clock.ts';

/** Kubernetes' own limits: 5 ms doubling to 1000 s, here with a fifth of jitter. */
export const defaultBackoff: BackoffConfig = { baseMs: 5, maxMs: 1_000_000, jitter: 0.2 };

export interface WorkQueueDeps {
  readonly clock: Clock;
  /** Yields 0 to 1. */
  readonly random: () => number;
}

interface Delayed { readonly at: number; readonly cancel: () => void }

/**
 * A queue of keys. A key is in it at most once; a key that is added while it is worked on comes back after
 * `done`, at the end of the line, so no key starves another and no key is worked on twice at a time.
 */
export class WorkQueue {
  readonly #deps: WorkQueueDeps;
  readonly #backoff: BackoffConfig;
  /** Waiting keys in order, with the monotonic time at which each was added. */
  readonly #ready = new Map<string, number>();
  readonly #active = new Set<string>();
  /** Keys added while active. */
  readonly #again = new Map<string, number>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  readonly #takers: (() => void)[] = [];
  #adds = 0;

  constructor(deps: WorkQueueDeps, backoff: BackoffConfig = defaultBackoff) {
    this.#deps = deps;
    this.#backoff = backoff;
  }

  /** Keys that could be worked on now. */
  get depth(): number { return this.#ready.size; }
  /** Keys whose time has not come. */
  get delayed(): number { return this.#delayed.size; }
  /** Counted since the start; a key that waits already is not added again. */
  get adds(): number { return this.#adds; }

  /** True when `key` comes back by itself. */
  isDelayed(key: string): boolean { return this.#delayed.has(key); }

  add(key: string): void {
    const now = this.#deps.clock.monotonic();
    if (this.#active.has(key)) {
      if (this.#again.has(key)) return;
      this.#adds += 1;
      this.#again.set(key, now);
    } else if (!this.#ready.has(key)) {
      this.#adds += 1;
      this.#ready.set(key, now);
      this.#takers.shift()?.();
    }
  }

  /** Adds `key` after `ms`; of several delays for one key the shortest counts. */
  addAfter(key: string, ms: number): void {
    if (ms <= 0) { this.add(key); return; }
    const at = this.#deps.clock.monotonic() + ms;
    const old = this.#delayed.get(key);
    if (old && old.at <= at) return;
    old?.cancel();
    const cancel = this.#deps.clock.after(ms, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { at, cancel });
  }

  /** Adds `key` after a back-off that grows with every call until `forget`. */
  addRateLimited(key: string): void {
    const failures = this.failures(key) + 1;
    this.#failures.set(key, failures);
    this.addAfter(key, backoffMs(this.#backoff, failures, this.#deps.random));
  }

  /** How often `key` was rate-limited since it was last forgotten. */
  failures(key: string): number { return this.#failures.get(key) ?? 0; }

  /** `key` made progress: its next failure backs off from the start. */
  forget(key: string): void { this.#failures.delete(key); }

  /** The next key and how long it waited; rejects with the signal's reason when aborted. Give it back with `done`. */
  async take(signal: AbortSignal): Promise<{ key: string; waitedMs: number }> {
    for (;;) {
      signal.throwIfAborted();
      for (const [key, since] of this.#ready) {
        this.#ready.delete(key);
        this.#active.add(key);
        return { key, waitedMs: this.#deps.clock.monotonic() - since };
      }
      await this.#added(signal);
    }
  }

  /** Ends the work on a key that `take` gave. */
  done(key: string): void {
    this.#active.delete(key);
    const since = this.#again.get(key);
    if (since === undefined) return;
    this.#again.delete(key);
    this.#ready.set(key, since);
    this.#takers.shift()?.();
  }

  /** Drops everything that waits and cancels all delays. */
  close(): void {
    for (const { cancel } of this.#delayed.values()) cancel();
    this.#delayed.clear();
    this.#ready.clear();
    this.#again.clear();
    this.#failures.clear();
  }

  #added(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const wake = (): void => { signal.removeEventListener('abort', abort); resolve(); };
      const abort = (): void => {
        this.#takers.splice(this.#takers.indexOf(wake), 1);
        reject(signal.reason as Error);
      };
      this.#takers.push(wake);
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
