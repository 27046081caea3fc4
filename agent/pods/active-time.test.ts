import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { ActiveTime } from './active-time.ts';
import { testPod } from './testing.ts';

const pod = testPod('web', { activeDeadlineSeconds: 60 });
const year = 365 * 86_400_000;
let dir: string;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-active-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

it('asks the wall clock once in a boot, by whichever agent', async () => {
  const clock = new ManualClock();
  const root = join(dir, 'pod');
  const agent = (bootId: string): ActiveTime => new ActiveTime(clock, { root, path: join(root, '.files/active'), bootId: () => bootId });
  const startTime = new Date(clock.now() - 5000).toISOString();
  const first = agent('boot');
  expect([first.ms(testPod('web'), startTime), first.ms(pod, undefined), first.ms(pod, startTime)]).toEqual([undefined, undefined, 5000]);
  // Nothing of the pod has begun.
  expect(await readdir(dir)).toEqual([]);
  await mkdir(root);
  await clock.advance(1000);
  expect(first.ms(pod, startTime)).toBe(6000);
  expect(await readdir(join(root, '.files'))).toEqual(['active']);
  const wrong = new Date(Date.parse(startTime) - 3 * year).toISOString();
  expect([agent('boot').ms(pod, wrong), agent('next').ms(pod, wrong)]).toEqual([6000, 3 * year + 6000]);
});
