import { expect, it } from 'vitest';
import { ManualClock, type Clock } from '#common/clock.ts';
import { Watchdog } from './watchdog.ts';

it('barks after so much silence, and not before', async () => {
  const clock = new ManualClock();
  const silences: number[] = [];
  const dog = new Watchdog(clock, (ms) => { silences.push(ms); });
  dog.limit(100);
  await clock.advance(60);
  dog.heard();
  await clock.advance(99);
  expect(silences).toEqual([]);
  await clock.advance(1);
  expect(silences).toEqual([100]);
  dog.limit(50);
  dog.stop();
  await clock.advance(1000);
  expect(silences).toEqual([100]);
});

it('does not hold a stall of its own against the other side', () => {
  let nowMs = 0;
  let due: () => void = () => undefined;
  const stalling: Clock = { now: () => nowMs, monotonic: () => nowMs, sleep: () => Promise.reject(new Error('not here')), after: (_, fn) => { due = fn; return () => undefined; } };
  const silences: number[] = [];
  new Watchdog(stalling, (ms) => { silences.push(ms); }).limit(100);
  nowMs = 5000;
  due();
  expect(silences).toEqual([]);
  nowMs = 5100;
  due();
  expect(silences).toEqual([100]);
});
