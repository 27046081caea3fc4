import type { Clock } from '#common/clock.ts';
import type { StoreEvent, Watch, WatchRequest } from './types.ts';
import { placeOf, Watcher, type EventPage, type Place, type WatchersHub } from './watcher.ts';

export interface WatchDeps {
  readonly clock: Clock;
  readonly revision: () => number;
  /** Throws or rejects with `Expired`. Synchronous when the bytes are in memory. */
  readonly eventsAfter: (prefix: string, after: number) => EventPage | Promise<EventPage>;
}

interface Group {
  readonly place: Place;
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
 * A crowd is told in turns, a shard of it at a time, so that between two of them requests are answered and bytes leave. After a
 * pause a shard is told as soon as its turn comes, and else as seldom as telling all takes long: each change would keep everybody
 * so busy that the next one waits for long. One part of the time is for telling, four are for others.
 */
const shards = 8;
/** In a shard, from which on they are a crowd. */
const crowdSize = 12;
const restFactor = 5;
const mostPaceMs = 40;
/** Those who fall behind do so together: so many pages that were read by cursor are kept for the next one who asks. */
const keptPages = 4;

/**
 * Wakes watchers. Those that have seen everything wait in groups of one prefix; a change is matched once per
 * group and the same batch handed to all of it. Those that are behind read by cursor and cost nothing here.
 */
export class WatchHub implements WatchersHub {
  readonly #deps: WatchDeps;
  /** Groups by the path of their prefix, which is cut out of each key to find them, and by name. */
  readonly #byPath = new Map<string, Map<string, Group>>();
  readonly #watchers = new Set<Watcher>();
  /** Shards of crowds whose turn comes, in that order. */
  readonly #due = new Set<Group>();
  #isTelling = false;
  #opened = 0;
  /** By prefix and cursor; as of now. */
  readonly #pages = new Map<string, EventPage | Promise<EventPage>>();
  #closed = false;

  constructor(deps: WatchDeps) {
    this.#deps = deps;
  }

  get watchers(): number { return this.#watchers.size; }
  get revision(): number { return this.#deps.revision(); }

  watch(request: WatchRequest): Watch {
    const watcher = new Watcher(this, placeOf(request.prefix, this.#opened++ % shards), request);
    return {
      wake: () => { watcher.interrupt(); },
      follow: (take) => watcher.follow(take),
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
          if (!event.key.startsWith(group.place.prefix)) continue;
          if (group.batch.length === 0) touched.push(group);
          group.batch.push(event);
        }
        end = event.key.indexOf('/', end) + 1;
      } while (end > 0);
    }
    for (const group of touched) {
      if (group.waiting.size < crowdSize) this.#deliver(group);
      else this.#hold(group, group.deliveredAt + group.paceMs - this.#deps.clock.monotonic());
    }
  }

  #hold(group: Group, ms: number): void {
    if (ms > 0) {
      group.cancel = this.#deps.clock.after(ms, () => { this.#hold(group, 0); });
      return;
    }
    group.cancel = () => { this.#due.delete(group); };
    this.#due.add(group);
    if (!this.#isTelling) this.#tellNext();
  }

  /** Tells one shard; the next when its bytes are with the sockets: that is before the next timer. */
  #tellNext(): void {
    const { clock } = this.#deps;
    const [group] = this.#due;
    this.#isTelling = group !== undefined;
    if (!group) return;
    this.#due.delete(group);
    this.#deliver(group);
    group.paceMs = mostPaceMs;
    clock.after(1, () => {
      group.paceMs = Math.min(mostPaceMs, restFactor * shards * (clock.monotonic() - group.deliveredAt));
      this.#tellNext();
    });
  }

  #deliver(group: Group): void {
    const { batch, waiting } = group;
    const { revision } = this;
    const late = [...group.late];
    const isCrowd = waiting.size >= crowdSize;
    group.batch = [];
    group.cancel = undefined;
    group.deliveredAt = this.#deps.clock.monotonic();
    group.late.clear();
    for (const watcher of waiting) if (!watcher.deliver(batch, revision)) waiting.delete(watcher);
    for (const watcher of late) watcher.lookAgain();
    // A crowd that was told comes back: its group stays, and with it the pace.
    if (!isCrowd) this.#removeEmpty(group);
  }

  /** Ends every watch. */
  close(): void {
    this.#closed = true;
    for (const watcher of this.#watchers) watcher.end();
  }

  park(watcher: Watcher): void {
    const { place } = watcher;
    let groups = this.#byPath.get(place.path);
    if (!groups) this.#byPath.set(place.path, groups = new Map<string, Group>());
    let group = groups.get(place.name);
    if (!group) groups.set(place.name, group = { place, waiting: new Set(), late: new Set(), batch: [], deliveredAt: -Infinity, paceMs: 0, cancel: undefined });
    (group.cancel ? group.late : group.waiting).add(watcher);
  }

  forget(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    this.leave(watcher);
  }

  /** It waits no more; what is held back for its group it reads by cursor. */
  leave(watcher: Watcher): void {
    const group = this.#byPath.get(watcher.place.path)?.get(watcher.place.name);
    if (group && (group.waiting.delete(watcher) || group.late.delete(watcher))) this.#removeEmpty(group);
  }

  #removeEmpty(group: Group): void {
    if (group.waiting.size > 0 || group.late.size > 0) return;
    group.cancel?.();
    const { path, name } = group.place;
    const groups = this.#byPath.get(path);
    groups?.delete(name);
    if (groups?.size === 0) this.#byPath.delete(path);
  }
}
