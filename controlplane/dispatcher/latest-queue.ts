import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, statusCodes, toStatus } from '#common/errors.ts';
import type { Log } from '#common/log.ts';

const backoff = { baseMs: 200, maxMs: 10_000, jitter: 0.2 };

interface Entry<T> { item: T | undefined; failures: number }

/**
 * Work by key of which only the latest matters: a new item replaces one that waits, items of one key run one after
 * the other, several keys side by side. What fails and may succeed later is tried again with back-off until the
 * signal aborts; the rest is logged and dropped.
 */
export class LatestQueue<T> {
  readonly #deps: { clock: Clock; log: Log; random: () => number };
  readonly #concurrency: number;
  readonly #work: (item: T) => Promise<void>;
  readonly #signal: AbortSignal;
  readonly #entries = new Map<string, Entry<T>>();
  readonly #ready: string[] = [];
  #running = 0;

  constructor(deps: { clock: Clock; log: Log; random: () => number }, config: { concurrency: number }, work: (item: T) => Promise<void>, signal: AbortSignal) {
    this.#deps = deps;
    this.#concurrency = config.concurrency;
    this.#work = work;
    this.#signal = signal;
  }

  put(key: string, item: T): void {
    const entry = this.#entries.get(key);
    if (entry) {
      entry.item = item;
      return;
    }
    this.#entries.set(key, { item, failures: 0 });
    this.#enqueue(key);
  }

  #enqueue(key: string): void {
    this.#ready.push(key);
    this.#fill();
  }

  #fill(): void {
    while (this.#running < this.#concurrency && !this.#signal.aborted) {
      const key = this.#ready.shift();
      if (key === undefined) return;
      this.#running++;
      void this.#run(key);
    }
  }

  async #run(key: string): Promise<void> {
    const entry = this.#entries.get(key);
    const item = entry?.item;
    if (entry && item !== undefined) {
      entry.item = undefined;
      try {
        await this.#work(item);
        entry.failures = 0;
      } catch (error) {
        this.#failed(key, entry, item, error);
        this.#next();
        return;
      }
    }
    if (entry?.item === undefined) this.#entries.delete(key);
    else this.#ready.push(key);
    this.#next();
  }

  #next(): void {
    this.#running--;
    this.#fill();
  }

  #failed(key: string, entry: Entry<T>, item: T, error: unknown): void {
    const status = toStatus(error);
    const retry = statusCodes[status.code].retryable;
    if (!this.#signal.aborted) this.#deps.log.warn({ key, err: messageOf(error), retry }, 'a report of a node could not be stored');
    if (!retry && entry.item === undefined) {
      this.#entries.delete(key);
      return;
    }
    if (retry) entry.item ??= item;
    entry.failures++;
    this.#deps.clock.after(backoffMs(backoff, entry.failures, this.#deps.random), () => { if (!this.#signal.aborted) this.#enqueue(key); });
  }
}
