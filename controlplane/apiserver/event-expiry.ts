import { events } from '#api/kinds/resources.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, isStatus } from '#common/errors.ts';
import { isAbort } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { storePrefix } from '#controlplane/store/keys.ts';
import type { Store } from '#controlplane/store/types.ts';

export interface EventExpiryConfig {
  readonly ttlMs: number;
  /** Beyond this many the oldest go early. */
  readonly maxEvents: number;
}

/** Slack, so that one wake-up takes many. */
const graceMs = 15_000;

/**
 * Removes Events some time after they were last written. It follows the store's own changes and sleeps until
 * the oldest is due: no lists, no periodic work.
 */
export class EventExpiry {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #config: EventExpiryConfig;
  /** Key to the time it was last written; the longest untouched is first. */
  readonly #written = new Map<string, number>();
  #cancel: (() => void) | undefined;

  constructor(deps: { readonly store: Store; readonly clock: Clock; readonly log: Log }, config: EventExpiryConfig) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#config = config;
  }

  async start(signal: AbortSignal): Promise<void> {
    const prefix = storePrefix(events);
    const present = await this.#store.list({ prefix });
    for (const { key } of present.entries) this.#written.set(key, this.#clock.monotonic());
    this.#arm();
    try {
      for await (const batch of this.#store.watch({ prefix, after: present.revision, signal })) {
        for (const event of batch) {
          this.#written.delete(event.key);
          if (event.type === 'put') this.#written.set(event.key, this.#clock.monotonic());
        }
        if (this.#written.size > this.#config.maxEvents) this.#expire();
        this.#arm();
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      this.#cancel?.();
    }
  }

  #arm(): void {
    const [oldest] = this.#written.values();
    if (this.#cancel || oldest === undefined) return;
    const dueMs = Math.max(0, oldest + this.#config.ttlMs - this.#clock.monotonic()) + graceMs;
    this.#cancel = this.#clock.after(dueMs, () => {
      this.#cancel = undefined;
      this.#expire();
      this.#arm();
    });
  }

  #expire(): void {
    const before = this.#clock.monotonic() - this.#config.ttlMs;
    let excess = this.#written.size - this.#config.maxEvents;
    for (const [key, writtenMs] of this.#written) {
      if (writtenMs > before && excess-- <= 0) break;
      this.#written.delete(key);
      void this.#remove(key);
    }
  }

  async #remove(key: string): Promise<void> {
    try {
      const entry = await this.#store.get(key);
      if (entry) await this.#store.write({ key, type: 'delete', expect: entry.modRevision, encode: () => entry.value });
    } catch (error) {
      if (!isStatus(error, 'Conflict', 'NotFound')) this.#log.debug({ err: messageOf(error) }, 'expired event not removed');
    }
  }
}
