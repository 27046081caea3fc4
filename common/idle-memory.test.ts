import { expect, it } from 'vitest';
import { ManualClock } from './clock.ts';
import { collectWhenIdle, processMemory } from './idle-memory.ts';

it('collects when a burst is over, and only when there is something to collect', async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const memory = { busy: 0.9, used: 20e6, collections: 0, busyShare: () => memory.busy, usedBytes: () => memory.used, collect: () => { memory.collections++; memory.used = 15e6; } };
  const after = async (seconds: number): Promise<number> => { await clock.advance(seconds * 1000); return memory.collections; };
  collectWhenIdle(clock, memory, stop.signal);
  expect(await after(300)).toBe(0);
  memory.busy = 0;
  expect(await after(30)).toBe(1);
  memory.used += 1e6;
  expect(await after(300)).toBe(1);
  memory.used += 5e6;
  expect(await after(30)).toBe(2);
  // What a burst leaves is collected once, even if it is little.
  memory.busy = 0.5;
  await after(20);
  memory.used += 1e6;
  memory.busy = 0;
  expect(await after(30)).toBe(3);
  memory.used += 1e6;
  expect(await after(300)).toBe(3);
  stop.abort();
  memory.used += 5e6;
  expect(await after(300)).toBe(3);
});

it('drops code that is not used after a burst, and in idle times only when more is held than after the last one', async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const collections: string[] = [];
  const memory = { busy: 0.9, used: 20e6, left: 15e6, busyShare: () => memory.busy, usedBytes: () => memory.used, collect: (thorough: boolean) => { collections.push(thorough ? 'thorough' : 'plain'); memory.used = thorough ? 15e6 : memory.left; } };
  collectWhenIdle(clock, memory, stop.signal);
  await clock.advance(20_000);
  memory.busy = 0;
  await clock.advance(20_000);
  expect(collections.splice(0)).toEqual(['thorough']);
  memory.used += 5e6;
  await clock.advance(60_000);
  expect(collections.splice(0)).toEqual(['plain']);
  memory.used += 5e6;
  memory.left = 16e6;
  await clock.advance(60_000);
  expect(collections.splice(0)).toEqual(['plain', 'thorough']);
  stop.abort();
});

it('collects this process', () => {
  const memory = processMemory();
  let held: unknown[] | undefined = Array.from({ length: 300_000 }, (_, i) => ({ i }));
  const used = memory.usedBytes();
  expect([held.length, memory.busyShare() > 0]).toEqual([300_000, true]);
  held = undefined;
  memory.collect(false);
  expect(memory.usedBytes()).toBeLessThan(used - 5e6);
  expect(globalThis.gc).toBeUndefined();
});
