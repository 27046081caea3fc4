import type { Clock } from '#common/clock.ts';
import type { Attention } from './attention.ts';

/** As in Kubernetes: a change that was not seen within five minutes is not waited for any longer. */
const ttlMs = 300_000;

interface Pending { creates: number; readonly deletes: Set<string>; readonly since: number }

/**
 * What a controller has asked for and its cache has not shown yet. While something is pending for a key the
 * cache is too old to count on: acting on it would create or delete the same things twice.
 */
export class Expectations {
  readonly #clock: Clock;
  readonly #attention: Pick<Attention, 'sinceMs'>;
  readonly #pending = new Map<string, Pending>();

  constructor({ clock, attention }: { readonly clock: Clock; readonly attention: Pick<Attention, 'sinceMs'> }) {
    this.#clock = clock;
    this.#attention = attention;
  }

  /** Call before the requests are sent: the cache may show a result before the request returns. */
  expect(key: string, creates: number, deletes: Iterable<string> = []): void {
    this.#pending.set(key, { creates, deletes: new Set(deletes), since: this.#clock.monotonic() });
  }

  /** `count` creates were seen, or failed. */
  created(key: string, count = 1): void {
    const pending = this.#pending.get(key);
    if (!pending) return;
    pending.creates -= count;
    this.#settle(key, pending);
  }

  /** The delete of `id` was seen, or failed. */
  deleted(key: string, id: string): void {
    const pending = this.#pending.get(key);
    if (!pending) return;
    pending.deletes.delete(id);
    this.#settle(key, pending);
  }

  /** 0 when the cache shows all that was asked for, else how long it is still worth waiting. */
  remainingMs(key: string): number {
    const pending = this.#pending.get(key);
    if (!pending) return 0;
    // A process that was stopped for so long has not seen its own request carried out, either.
    const left = Math.max(pending.since, this.#attention.sinceMs) + ttlMs - this.#clock.monotonic();
    if (left > 0) return left;
    this.#pending.delete(key);
    return 0;
  }

  /** Waits for nothing any more: the object behind the key is another one. */
  forget(key: string): void {
    this.#pending.delete(key);
  }

  #settle(key: string, pending: Pending): void {
    if (pending.creates <= 0 && pending.deletes.size === 0) this.#pending.delete(key);
  }
}
