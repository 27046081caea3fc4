import { describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { WatchHub } from './watch.ts';
import type { EventPage } from './watcher.ts';
import type { StoreEvent } from './types.ts';

/** A hub over a history that only grows. */
class History {
  readonly clock = new ManualClock();
  readonly events: StoreEvent[] = [];
  readonly hub = new WatchHub({ clock: this.clock, revision: () => this.events.length, eventsAfter: (prefix, after) => this.#after(prefix, after) });

  put(key = 'pods/a'): void {
    const event: StoreEvent = { type: 'put', key, value: new Uint8Array(), previous: undefined, revision: this.events.length + 1, createRevision: 1 };
    this.events.push(event);
    this.hub.publish([event]);
  }

  /** Batches as they come, as revisions. */
  read(signal: AbortSignal): number[][] {
    const batches: number[][] = [];
    const watch = this.hub.watch({ prefix: 'pods/', after: this.events.length, signal });
    void (async () => { for await (const batch of watch) batches.push(batch.map(({ revision }) => revision)); })();
    return batches;
  }

  #after(prefix: string, after: number): EventPage {
    return { events: this.events.slice(after).filter(({ key }) => key.startsWith(prefix)), through: this.events.length };
  }
}

const tick = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

/** Until each shard of a crowd had its turn. */
async function turns(history: History, ms = 10): Promise<void> {
  await tick();
  await history.clock.advance(ms);
  await tick();
}

describe('a crowd of watchers', () => {
  it('is told at a pace, of everything, once; who comes meanwhile is told of what is new to him', async () => {
    const history = new History();
    const stop = new AbortController();
    const crowd = Array.from({ length: 200 }, () => history.read(stop.signal));
    await tick();
    history.put();
    await turns(history);
    for (let i = 0; i < 3; i++) history.put();
    history.put('secrets/a');
    const late = history.read(stop.signal);
    await tick();
    history.put();
    await tick();
    expect(crowd.every((batches) => batches.length === 1)).toBe(true);
    await turns(history, 50);
    expect(new Set(crowd.map(String))).toEqual(new Set(['1,2,3,4,6']));
    expect(crowd[0]).toEqual([[1], [2, 3, 4, 6]]);
    expect(late).toEqual([[6]]);
    await turns(history, 50);
    history.put();
    await turns(history);
    expect(late).toEqual([[6], [7]]);
    expect(crowd[0]?.at(-1)).toEqual([7]);
    stop.abort();
    expect(history.hub.watchers).toBe(0);
  });

  it('is told in turns, between which others have theirs', async () => {
    const history = new History();
    const stop = new AbortController();
    const crowd = Array.from({ length: 200 }, () => history.read(stop.signal));
    const told = (): number => crowd.filter((batches) => batches.length > 0).length;
    await tick();
    history.put();
    await tick();
    expect(told()).toBe(25);
    await history.clock.advance(1);
    await tick();
    expect(told()).toBe(50);
    await turns(history);
    expect(told()).toBe(200);
    stop.abort();
  });

  it('that is small is told at once', async () => {
    const history = new History();
    const stop = new AbortController();
    const few = Array.from({ length: 20 }, () => history.read(stop.signal));
    await tick();
    for (let i = 0; i < 3; i++) { history.put(); await tick(); }
    expect(few.map(String)).toEqual(Array<string>(20).fill('1,2,3'));
    expect(few[0]).toHaveLength(3);
    stop.abort();
  });
});

describe('a watcher', () => {
  it('is woken with an empty batch, whether it waits or not, and misses nothing by it', async () => {
    const history = new History();
    const stop = new AbortController();
    const watch = history.hub.watch({ prefix: 'pods/', after: 0, signal: stop.signal });
    const batches: number[][] = [];
    const reading = (async () => { for await (const batch of watch) batches.push(batch.map(({ revision }) => revision)); })();
    await tick();
    watch.wake();
    history.put();
    await tick();
    history.put();
    watch.wake();
    await tick();
    expect(batches.flat()).toEqual([1, 2]);
    expect(batches.filter((batch) => batch.length === 0)).toHaveLength(2);
    stop.abort();
    await reading;
    expect(history.hub.watchers).toBe(0);
  });

  it('is woken out of a crowd that waits for its pace, and reads what the others are told', async () => {
    const history = new History();
    const stop = new AbortController();
    const crowd = Array.from({ length: 150 }, () => history.read(stop.signal));
    const watch = history.hub.watch({ prefix: 'pods/', after: 0, signal: stop.signal });
    const seen: number[] = [];
    void (async () => { for await (const batch of watch) seen.push(...batch.map(({ revision }) => revision)); })();
    await tick();
    history.put();
    await tick();
    history.put();
    watch.wake();
    history.put();
    await turns(history, 50);
    expect(seen).toEqual([1, 2, 3]);
    expect(crowd.every((batches) => batches.flat().join() === '1,2,3')).toBe(true);
    stop.abort();
  });

  it('follows: is handed what comes while it takes it, and reads the rest from where it stands', async () => {
    const history = new History();
    const stop = new AbortController();
    const watch = history.hub.watch({ prefix: 'pods/', after: 0, signal: stop.signal });
    const reader = watch[Symbol.asyncIterator]();
    const taken: number[][] = [];
    const take = (batch: readonly StoreEvent[]): boolean => { taken.push(batch.map(({ revision }) => revision)); return taken.length % 2 === 1; };
    const following = watch.follow(take);
    history.put();
    history.put();
    expect(taken).toEqual([[1], [2]]);
    await following;
    history.put();
    expect(taken).toHaveLength(2);
    await watch.follow(take);
    expect(((await reader.next()).value as readonly StoreEvent[]).map(({ revision }) => revision)).toEqual([3]);
    const again = watch.follow(take);
    watch.wake();
    await again;
    history.put();
    expect((await reader.next()).value).toEqual([]);
    const broken = watch.follow(() => { throw new Error('not mine'); });
    await broken;
    await reader.next();
    const third = watch.follow(() => { throw new Error('not mine'); });
    const others = history.read(stop.signal);
    await tick();
    history.put();
    await expect(third).rejects.toThrow('not mine');
    await tick();
    expect(others).toEqual([[5]]);
    const last = watch.follow(take);
    stop.abort();
    await last;
    expect((await reader.next()).done).toBe(true);
    expect(history.hub.watchers).toBe(0);
  });

  it('shares what it reads by cursor with others at the same place', async () => {
    const history = new History();
    history.put();
    history.put();
    const stop = new AbortController();
    const first = history.hub.watch({ prefix: 'pods/', after: 0, signal: stop.signal })[Symbol.asyncIterator]();
    const second = history.hub.watch({ prefix: 'pods/', after: 0, signal: stop.signal })[Symbol.asyncIterator]();
    const batch: unknown = (await first.next()).value;
    expect((await second.next()).value).toBe(batch);
    history.put();
    expect(((await history.hub.watch({ prefix: 'pods/', after: 0, signal: stop.signal })[Symbol.asyncIterator]().next()).value as readonly StoreEvent[]).length).toBe(3);
    stop.abort();
  });
});
