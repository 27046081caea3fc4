import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { SpinGuard } from './spin-guard.ts';

const spin = (guard: SpinGuard, key: string, times: number): number => Math.max(...Array.from({ length: times }, () => guard.waitMs(key)));

it('holds back a key that is looked at without end, for twice as long each time, and no other', async () => {
  const clock = new ManualClock();
  const guard = new SpinGuard(clock);
  for (const waitMs of [1000, 2000, 4000, 5000, 5000]) {
    expect(spin(guard, 'a', 100)).toBe(0);
    expect([guard.waitMs('a'), guard.waitMs('a'), guard.waitMs('b'), guard.spinning]).toEqual([waitMs, waitMs, 0, 1]);
    await clock.advance(waitMs);
  }
});

it('forgets a key that has calmed down', async () => {
  const clock = new ManualClock();
  const guard = new SpinGuard(clock);
  spin(guard, 'a', 101);
  await clock.advance(1000);
  spin(guard, 'a', 101);
  await clock.advance(4000);
  expect([guard.waitMs('a'), guard.spinning, spin(guard, 'a', 100)]).toEqual([0, 0, 1000]);
});

it('lets 100 looks a second pass', async () => {
  const clock = new ManualClock();
  const guard = new SpinGuard(clock);
  for (let i = 0; i < 10; i++) {
    expect(spin(guard, 'a', 100)).toBe(0);
    await clock.advance(1000);
  }
});
