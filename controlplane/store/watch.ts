import type { Clock } from '#common/clock.ts';
import type { StoreEvent, Watch, WatchRequest } from './types.ts';

/** Events after a revision that match a prefix, at most a batch of them, and up to where that is all. */
export interface EventPage {
  readonly events: readonly StoreEvent[];
  readonly through: number;
}

export interface WatchDeps {
  readonly clock: Clock;
  readonly revision: () => number;
  /** Throws or rejects with `Expired`. Synchronous when the bytes are in memory. */
  readonly eventsAfter: (prefix: string, after: number) => EventPage | Promise<EventPage>;
}

interface Group {
  readonly prefix: string;
  readonly waiting: Set<Watcher>;
  /** Those that came while a batch was held back, of which they have seen a part: they read by cursor when it goes out. */
  readonly late: Set<Watcher>;
  batch: StoreEvent[];
  deliveredAt: number;
  /** Least time from one telling to the next. */
  paceMs: number;
  /** Cancels the delivery of what is held back. */
  cancel: (() => void) | undefined;
}

/**
 * A crowd is told at once after a pause, and else as seldom as telling it takes long: each change would keep everybody so
 * busy that the next one waits for long. One part of the time is for telling, four are for others.
 */
const crowdSize = 100;
const restFactor = 5;
const mostPaceMs = 40;
/** Those who fall behind do so together: so many pages that were read by cursor are kept for the next one who asks. */
const keptPages = 4;

/**
 * Wakes watchers. Those that have seen everything wait in groups of one prefix; a change is matched once per
 * group and the same batch handed to all of it. Those that are behind read by cursor and cost nothing here.
 */
export class WatchHub {
  readonly #deps: WatchDeps;
  /** Groups by the part of their prefix up to its last slash, which is cut out of each key to find them. */
  readonly #byPath = new Map<string, Map<string, Group>>();
  readonly #watchers = new Set<Watcher>();
  /** By prefix and cursor; as of now. */
  readonly #pages = new Map<string, EventPage | Promise<EventPage>>();
  #closed = false;

  constructor(deps: WatchDeps) {
    this.#deps = deps;
  }

  get watchers(): number { return this.#watchers.size; }

  watch(request: WatchRequest): Watch {
    const watcher = new Watcher(this, this.#deps, request);
    return {
      wake: () => { watcher.interrupt(); },
      [Symbol.asyncIterator]: () => {
        this.#watchers.add(watcher);
        watcher.open();
        if (this.#closed || request.signal.aborted) watcher.end();
        return watcher;
      },
    };
  }

  /** The same page, and so the same batch, for all who stand at the same place. */
  page(prefix: string, after: number): EventPage | Promise<EventPage> {
    const key = `${prefix} ${String(after)}`;
    let page = this.#pages.get(key);
    if (page) return page;
    page = this.#deps.eventsAfter(prefix, after);
    for (const oldest of this.#pages.keys()) if (this.#pages.size >= keptPages) this.#pages.delete(oldest);
    this.#pages.set(key, page);
    if (page instanceof Promise) page.catch(() => { this.#pages.delete(key); });
    return page;
  }

  publish(events: readonly StoreEvent[]): void {
    const touched: Group[] = [];
    this.#pages.clear();
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
    for (const group of touched) {
      const holdMs = group.waiting.size < crowdSize ? 0 : group.deliveredAt + group.paceMs - this.#deps.clock.monotonic();
      if (holdMs > 0) group.cancel = this.#deps.clock.after(holdMs, () => { this.#deliver(group); });
      else this.#deliver(group);
    }
  }

  #deliver(group: Group): void {
    const { batch } = group;
    const revision = this.#deps.revision();
    const [waiting, late] = [[...group.waiting], [...group.late]];
    group.batch = [];
    group.cancel = undefined;
    group.deliveredAt = this.#deps.clock.monotonic();
    if (waiting.length >= crowdSize) this.#measure(group);
    group.waiting.clear();
    group.late.clear();
    for (const watcher of waiting) watcher.deliver(batch, revision);
    for (const watcher of late) watcher.lookAgain();
    // A crowd that was told comes back: its group stays, and with it the pace.
    if (waiting.length < crowdSize) this.#removeEmpty(group);
  }

  /** How long it takes until the crowd's bytes are with the sockets: that is before the next timer. */
  #measure(group: Group): void {
    const { clock } = this.#deps;
    const { deliveredAt } = group;
    group.paceMs = mostPaceMs;
    clock.after(0, () => { group.paceMs = Math.min(mostPaceMs, restFactor * (clock.monotonic() - deliveredAt)); });
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
    if (!group) groups.set(prefix, group = { prefix, waiting: new Set(), late: new Set(), batch: [], deliveredAt: -Infinity, paceMs: 0, cancel: undefined });
    (group.cancel ? group.late : group.waiting).add(watcher);
  }

  forget(watcher: Watcher, prefix: string): void {
    this.#watchers.delete(watcher);
    this.leave(watcher, prefix);
  }

  /** It waits no more; what is held back for its group it reads by cursor. */
  leave(watcher: Watcher, prefix: string): void {
    const group = this.#byPath.get(pathOf(prefix))?.get(prefix);
    if (group && (group.waiting.delete(watcher) || group.late.delete(watcher))) this.#removeEmpty(group);
  }

  #removeEmpty(group: Group): void {
    if (group.waiting.size > 0 || group.late.size > 0) return;
    group.cancel?.();
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
  #interrupted = false;

  constructor(hub: WatchHub, deps: WatchDeps, request: WatchRequest) {
    this.#hub = hub;
    this.#deps = deps;
    this.#prefix = request.prefix;
    this.#signal = request.signal;
    this.#cursor = request.after;
  }

  open(): void {
    this.#signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  async next(): Promise<IteratorResult<readonly StoreEvent[], undefined>> {
    try {
      if (this.#interrupted && !this.#ended) return this.#takeInterrupt();
      while (!this.#ended && this.#cursor !== this.#deps.revision()) {
        const page = this.#hub.page(this.#prefix, this.#cursor);
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
    return batch ? { done: false, value: batch } : this.#ended ? done : this.next();
  }

  #takeInterrupt(): IteratorResult<readonly StoreEvent[], undefined> {
    this.#interrupted = false;
    return { done: false, value: nothing };
  }

  interrupt(): void {
    this.#interrupted = true;
    if (!this.#wake) return;
    this.#hub.leave(this, this.#prefix);
    this.lookAgain();
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

  /** There may be something behind the cursor. */
  lookAgain(): void {
    this.#wake?.(undefined);
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
const nothing: readonly StoreEvent[] = [];

function pathOf(prefix: string): string {
  return prefix.slice(0, prefix.lastIndexOf('/') + 1);
}
