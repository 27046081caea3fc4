import { describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { WatchHub, type EventPage } from './watch.ts';
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

describe('a crowd of watchers', () => {
  it('is told at a pace, of everything, once; who comes meanwhile is told of what is new to him', async () => {
    const history = new History();
    const stop = new AbortController();
    const crowd = Array.from({ length: 200 }, () => history.read(stop.signal));
    await tick();
    history.put();
    await tick();
    for (let i = 0; i < 3; i++) history.put();
    history.put('secrets/a');
    const late = history.read(stop.signal);
    await tick();
    history.put();
    await tick();
    expect(crowd.every((batches) => batches.length === 1)).toBe(true);
    await history.clock.advance(50);
    await tick();
    expect(new Set(crowd.map(String))).toEqual(new Set(['1,2,3,4,6']));
    expect(crowd[0]).toEqual([[1], [2, 3, 4, 6]]);
    expect(late).toEqual([[6]]);
    await history.clock.advance(50);
    history.put();
    await tick();
    expect(late).toEqual([[6], [7]]);
    expect(crowd[0]?.at(-1)).toEqual([7]);
    stop.abort();
    expect(history.hub.watchers).toBe(0);
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
