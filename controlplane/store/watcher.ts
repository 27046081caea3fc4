import type { StoreEvent, WatchRequest } from './types.ts';

/** Events after a revision that match a prefix, at most a batch of them, and up to where that is all. */
export interface EventPage {
  readonly events: readonly StoreEvent[];
  readonly through: number;
}

/** Where a watcher waits: a prefix's watchers are dealt out among shards. */
export interface Place {
  readonly prefix: string;
  /** The part of the prefix up to its last slash. */
  readonly path: string;
  /** Of the group within its path. */
  readonly name: string;
}

/** What watchers ask of whoever wakes them. */
export interface WatchersHub {
  /** Newest revision. */
  readonly revision: number;
  /** Events after a cursor. Synchronous when the bytes are in memory. */
  page(prefix: string, after: number): EventPage | Promise<EventPage>;
  /** It has seen everything, and waits to be told. */
  park(watcher: Watcher): void;
  /** It waits no more. */
  leave(watcher: Watcher): void;
  /** It is over. */
  forget(watcher: Watcher): void;
}

/** One reader: a cursor, and while it waits a place in a group. */
export class Watcher implements AsyncIterator<readonly StoreEvent[], undefined> {
  readonly #hub: WatchersHub;
  readonly place: Place;
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => { this.end(); };
  /** Everything up to here was delivered or does not match. */
  #cursor: number;
  #wake: ((batch: readonly StoreEvent[] | undefined) => void) | undefined;
  /** Is handed what comes while the reader follows; `#wake` ends that. */
  #take: ((batch: readonly StoreEvent[]) => boolean) | undefined;
  #ended = false;
  #interrupted = false;

  constructor(hub: WatchersHub, place: Place, request: WatchRequest) {
    this.#hub = hub;
    this.place = place;
    this.#signal = request.signal;
    this.#cursor = request.after;
  }

  open(): void {
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  async next(): Promise<IteratorResult<readonly StoreEvent[], undefined>> {
    try {
      if (this.#interrupted && !this.#ended) return this.#takeInterrupt();
      while (!this.#ended && this.#cursor !== this.#hub.revision) {
        const page = this.#hub.page(this.place.prefix, this.#cursor);
        const { events, through } = page instanceof Promise ? await page : page;
        this.#cursor = through;
        if (events.length > 0) return this.#ended ? done : { done: false, value: events };
      }
    } catch (error) {
      this.end();
      throw error;
    }
    if (this.#ended) return done;
    const batch = await new Promise<readonly StoreEvent[] | undefined>((resolve) => {
      this.#wake = resolve;
      this.#hub.park(this);
    });
    return batch ? { done: false, value: batch } : this.#ended ? done : this.next();
  }

  #takeInterrupt(): IteratorResult<readonly StoreEvent[], undefined> {
    this.#interrupted = false;
    return { done: false, value: nothing };
  }

  interrupt(): void {
    this.#interrupted = true;
    if (!this.#wake) return;
    this.#hub.leave(this);
    this.lookAgain();
  }

  return(): Promise<IteratorResult<readonly StoreEvent[], undefined>> {
    this.end();
    return Promise.resolve(done);
  }

  follow(take: (batch: readonly StoreEvent[]) => boolean): Promise<void> {
    if (this.#ended || this.#interrupted || this.#cursor !== this.#hub.revision) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#wake = () => { resolve(); };
      this.#take = (batch) => {
        try {
          return take(batch);
        } catch (error) {
          // It is this reader's alone: the others are still to be told.
          reject(error as Error);
          return false;
        }
      };
      this.#hub.park(this);
    });
  }

  /** True when it waits for more. */
  deliver(batch: readonly StoreEvent[], revision: number): boolean {
    this.#cursor = revision;
    if (this.#take?.(batch) === true) return true;
    this.#answer(batch);
    return false;
  }

  /** There may be something behind the cursor. */
  lookAgain(): void {
    this.#answer(undefined);
  }

  #answer(batch: readonly StoreEvent[] | undefined): void {
    this.#wake?.(batch);
    this.#wake = undefined;
    this.#take = undefined;
  }

  end(): void {
    this.#ended = true;
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#hub.forget(this);
    this.#answer(undefined);
  }
}

const done = { done: true, value: undefined } as const;
const nothing: readonly StoreEvent[] = [];

export function placeOf(prefix: string, shard: number): Place {
  return { prefix, path: prefix.slice(0, prefix.lastIndexOf('/') + 1), name: `${String(shard)} ${prefix}` };
}
