import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { busyShareMeter } from './busy-share.ts';

it('counts what is worked, not what is waited, since the last question', async () => {
  const share = busyShareMeter();
  const until = performance.now() + 30;
  while (performance.now() < until) Math.sqrt(until);
  const worked = share();
  expect(worked).toBeGreaterThan(0);
  expect(worked).toBeLessThanOrEqual(1);
  await sleep(100);
  expect(share()).toBeLessThan(worked);
});
