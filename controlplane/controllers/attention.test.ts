import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { Attention } from './attention.ts';

it.each<[string, (clock: ManualClock) => Promise<void> | void, boolean]>([
  ['nothing', () => undefined, false],
  ['an hour of work', (clock) => clock.advance(3_600_000), false],
  ['a short stall', (clock) => clock.stall(15_000), false],
  ['a process that was stopped', (clock) => clock.stall(30_000), true],
  ['a machine that slept', (clock) => { clock.suspend(60_000); }, true],
  ['a wall clock that was set', (clock) => { clock.jump(-1e12); }, false],
])('after %s', async (_, work, gap) => {
  const clock = new ManualClock();
  const attention = new Attention({ clock, log: silentLog }, 40_000);
  const stop = new AbortController();
  const running = attention.start(stop.signal);
  let gaps = 0;
  attention.onGap(() => { gaps++; });
  const startMs = clock.monotonic();
  await clock.advance(3000);
  await work(clock);
  expect([attention.sinceMs > startMs, gaps]).toEqual([gap, gap ? 1 : 0]);
  await clock.advance(100_000);
  expect(gaps).toBe(gap ? 1 : 0);
  stop.abort();
  await running;
});
