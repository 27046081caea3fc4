import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { ProbeSchedule } from './schedule.ts';

/** When each of some calls comes, in ms from now. */
async function timesOf(wantedMs: readonly number[], beforeMs = 0): Promise<number[]> {
  const clock = new ManualClock();
  const schedule = new ProbeSchedule(clock);
  const start = clock.monotonic();
  await clock.advance(beforeMs);
  const times: number[] = [];
  for (const [i, ms] of wantedMs.entries()) schedule.at(start + ms, () => { times[i] = clock.monotonic() - start; });
  await clock.advance(60_000);
  return times;
}

it('lets what is due at about the same time begin together', async () => {
  expect(await timesOf([9600, 9999, 10_000, 10_400, 10_600], 300)).toEqual([10_000, 10_000, 10_000, 10_000, 11_000]);
});

it('keeps a period of one second', async () => {
  const clock = new ManualClock();
  const schedule = new ProbeSchedule(clock);
  const start = clock.monotonic();
  const times: number[] = [];
  await clock.advance(700);
  const again = (): void => { times.push(clock.monotonic() - start); schedule.at(clock.monotonic() + 1002, again); };
  again();
  await clock.advance(4000);
  expect(times).toEqual([700, 2000, 3000, 4000]);
});

it('begins at once what is late', async () => {
  expect(await timesOf([200, 500], 500)).toEqual([500, 500]);
});

it('spreads what has begun together', async () => {
  const times = await timesOf(Array.from({ length: 60 }, () => 10_000));
  expect(Object.values(Object.groupBy(times, String)).map((calls) => calls?.length)).toEqual([12, 16, 16, 16]);
  expect(Math.min(...times)).toBe(7000);
  // More than there is room for begins when it is due.
  expect((await timesOf(Array.from({ length: 60 }, () => 1000))).every((ms) => ms === 1000)).toBe(true);
});

it('forgets what was cancelled', async () => {
  const clock = new ManualClock();
  const schedule = new ProbeSchedule(clock);
  const called: string[] = [];
  const one = schedule.at(clock.monotonic() + 1000, () => { called.push('one'); });
  schedule.at(clock.monotonic() + 1000, () => { called.push('two'); });
  one();
  const three = schedule.at(clock.monotonic() + 5000, () => { called.push('three'); });
  three();
  three();
  await clock.advance(10_000);
  expect(called).toEqual(['two']);
});
