import type { StoreEvent, WatchRequest } from './types.ts';

/** Events after a revision that match a prefix, at most a batch of them, and up to where that is all. */
export interface EventPage {
  readonly events: readonly StoreEvent[];
  readonly through: number;
}

export interface WatchDeps {
  readonly revision: () => number;
  /** Throws or rejects with `Expired`. Synchronous when the bytes are in memory. */
  readonly eventsAfter: (prefix: string, after: number) => EventPage | Promise<EventPage>;
}

interface Group {
  readonly prefix: string;
  readonly waiting: Set<Watcher>;
  batch: StoreEvent[];
}

/**
 * Wakes watchers. Those that have seen everything wait in groups of one prefix; a change is matched once per
 * group and the same batch handed to all of it. Those that are behind read by cursor and cost nothing here.
 */
export class WatchHub {
  readonly #deps: WatchDeps;
  /** Groups by the part of their prefix up to its last slash, which is cut out of each key to find them. */
  readonly #byPath = new Map<string, Map<string, Group>>();
  readonly #watchers = new Set<Watcher>();
  #closed = false;

  constructor(deps: WatchDeps) {
    this.#deps = deps;
  }

  get watchers(): number { return this.#watchers.size; }

  watch(request: WatchRequest): AsyncIterable<readonly StoreEvent[]> {
    return {
      [Symbol.asyncIterator]: () => {
        const watcher = new Watcher(this, this.#deps, request);
        this.#watchers.add(watcher);
        if (this.#closed || request.signal.aborted) watcher.end();
        return watcher;
      },
    };
  }

  publish(events: readonly StoreEvent[]): void {
    const touched: Group[] = [];
    for (const event of events) {
      let end = 0;
      do {
        for (const group of this.#byPath.get(event.key.slice(0, end))?.values() ?? []) {
          if (!event.key.startsWith(group.prefix)) continue;
          if (group.batch.length === 0) touched.push(group);
          group.batch.push(event);
        }
        end = event.key.indexOf('/', end) + 1;
      } while (end > 0);
    }
    const revision = this.#deps.revision();
    for (const group of touched) {
      const batch = group.batch;
      const waiting = [...group.waiting];
      group.batch = [];
      group.waiting.clear();
      for (const watcher of waiting) watcher.deliver(batch, revision);
      if (group.waiting.size === 0) this.#remove(group);
    }
  }

  /** Ends every watch. */
  close(): void {
    this.#closed = true;
    for (const watcher of this.#watchers) watcher.end();
  }

  park(watcher: Watcher, prefix: string): void {
    const path = pathOf(prefix);
    let groups = this.#byPath.get(path);
    if (!groups) this.#byPath.set(path, groups = new Map<string, Group>());
    let group = groups.get(prefix);
    if (!group) groups.set(prefix, group = { prefix, waiting: new Set(), batch: [] });
    group.waiting.add(watcher);
  }

  forget(watcher: Watcher, prefix: string): void {
    this.#watchers.delete(watcher);
    const group = this.#byPath.get(pathOf(prefix))?.get(prefix);
    if (group?.waiting.delete(watcher) && group.waiting.size === 0) this.#remove(group);
  }

  #remove(group: Group): void {
    const path = pathOf(group.prefix);
    const groups = this.#byPath.get(path);
    groups?.delete(group.prefix);
    if (groups?.size === 0) this.#byPath.delete(path);
  }
}

/** One reader: a cursor, and while it waits a place in a group. */
class Watcher implements AsyncIterator<readonly StoreEvent[], undefined> {
  readonly #hub: WatchHub;
  readonly #deps: WatchDeps;
  readonly #prefix: string;
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => { this.end(); };
  /** Everything up to here was delivered or does not match. */
  #cursor: number;
  #wake: ((batch: readonly StoreEvent[] | undefined) => void) | undefined;
  #ended = false;

  constructor(hub: WatchHub, deps: WatchDeps, request: WatchRequest) {
    this.#hub = hub;
    this.#deps = deps;
    this.#prefix = request.prefix;
    this.#signal = request.signal;
    this.#cursor = request.after;
    request.signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  async next(): Promise<IteratorResult<readonly StoreEvent[], undefined>> {
    try {
      while (!this.#ended && this.#cursor !== this.#deps.revision()) {
        const page = this.#deps.eventsAfter(this.#prefix, this.#cursor);
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
      this.#hub.park(this, this.#prefix);
    });
    return batch ? { done: false, value: batch } : done;
  }

  return(): Promise<IteratorResult<readonly StoreEvent[], undefined>> {
    this.end();
    return Promise.resolve(done);
  }

  deliver(batch: readonly StoreEvent[], revision: number): void {
    this.#cursor = revision;
    this.#wake?.(batch);
    this.#wake = undefined;
  }

  end(): void {
    this.#ended = true;
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#hub.forget(this, this.#prefix);
    this.#wake?.(undefined);
    this.#wake = undefined;
  }
}

const done = { done: true, value: undefined } as const;

function pathOf(prefix: string): string {
  return prefix.slice(0, prefix.lastIndexOf('/') + 1);
}
