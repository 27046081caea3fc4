import { expect, test } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { Assumptions } from './assumptions.ts';
import { podInfo } from './pod-info.ts';
import { SchedulingQueue } from './queue.ts';
import { cluster, FakeInformer, node, pod } from './testing.ts';

function setup() {
  const clock = new ManualClock();
  const cache = cluster({ nodes: [node('a')] });
  const queue = new SchedulingQueue({ clock, comesFirst: (a, b) => a.sequence < b.sequence, isGated: () => false, watches: () => false, mayHelp: () => false });
  const pods = new FakeInformer<Pod>();
  const web = pod({ name: 'web', requests: { cpu: '1' } });
  pods.set(web);
  cache.assume(podInfo(web), 'a');
  new Assumptions({ cache, queue, pods, clock, log: silentLog }, { assumedTtlMs: 30_000 }).bound(podInfo(web));
  const used = () => cache.node('a')?.requested.cpuMillis;
  return { clock, cache, queue, pods, web, used };
}

test('a pod never seen on its node gives the room back and is queued again', async () => {
  const { clock, queue, used } = setup();
  await clock.advance(29_999);
  expect(used()).toBe(1000);
  await clock.advance(1);
  expect(used()).toBe(0);
  expect(queue.lengths.active).toBe(1);
});

test('a pod that is gone meanwhile is not queued', async () => {
  const { clock, queue, pods, web, used } = setup();
  pods.delete(web);
  await clock.advance(30_000);
  expect(used()).toBe(0);
  expect(queue.lengths.active).toBe(0);
});

test('a confirmed pod stays', async () => {
  const { clock, cache, queue, web, used } = setup();
  cache.setPod(podInfo(web), 'a');
  await clock.advance(60_000);
  expect(used()).toBe(1000);
  expect(queue.lengths.active).toBe(0);
});
