import { expect, it } from 'vitest';
import { ManualClock, systemClock } from './clock.ts';

it('waits longer than a timer of Node can', async () => {
  const stop = new AbortController();
  let fired = false;
  const cancel = systemClock.after(2 ** 31, () => { fired = true; });
  const slept = systemClock.sleep(2 ** 32, stop.signal);
  slept.catch(() => undefined);
  await systemClock.sleep(5, stop.signal);
  stop.abort(new Error('stop'));
  await expect(slept).rejects.toThrow();
  cancel();
  expect(fired).toBe(false);
});

it('jumps on the wall only', async () => {
  const clock = new ManualClock(0);
  let fired = 0;
  clock.after(1000, () => { fired++; });
  clock.jump(10_000);
  await clock.advance(500);
  expect([clock.now(), clock.monotonic(), fired]).toEqual([10_500, 500, 0]);
});
