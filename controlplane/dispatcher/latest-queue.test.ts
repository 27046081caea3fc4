import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { LatestQueue } from './latest-queue.ts';

function setup(concurrency: number) {
  const clock = new ManualClock();
  const stop = new AbortController();
  const running: { item: string; done: () => void; fail: (error: unknown) => void }[] = [];
  const queue = new LatestQueue<string>({ clock, log: silentLog, random: () => 0 }, { concurrency }, (item) => new Promise<void>((resolve, reject) => { running.push({ item, done: resolve, fail: reject }); }), stop.signal);
  return { clock, stop, running, queue, items: () => running.map(({ item }) => item) };
}

it('does keys side by side within its limit, and only the latest of a key that waits', async () => {
  const { clock, running, queue, items } = setup(2);
  for (const item of ['a1', 'b1', 'c1', 'c2', 'a2', 'a3']) queue.put(item.charAt(0), item);
  expect(items()).toEqual(['a1', 'b1']);
  running[0]?.done();
  await clock.advance(0);
  expect(items()).toEqual(['a1', 'b1', 'c2']);
  running[1]?.done();
  await clock.advance(0);
  expect(items()).toEqual(['a1', 'b1', 'c2', 'a3']);
});

it('tries again with back-off what may succeed later, with the newest item', async () => {
  const { clock, running, queue, items } = setup(1);
  queue.put('a', 'a1');
  running[0]?.fail(new StatusError('ServiceUnavailable', 'later'));
  await clock.advance(199);
  expect(items()).toEqual(['a1']);
  queue.put('a', 'a2');
  await clock.advance(1);
  expect(items()).toEqual(['a1', 'a2']);
  running[1]?.fail(new StatusError('Conflict', 'again'));
  await clock.advance(400);
  running[2]?.done();
  await clock.advance(60_000);
  expect(items()).toEqual(['a1', 'a2', 'a2']);
});

it('drops what cannot succeed, and everything once stopped', async () => {
  const { clock, stop, running, queue, items } = setup(1);
  queue.put('a', 'a1');
  running[0]?.fail(new StatusError('Invalid', 'never'));
  await clock.advance(60_000);
  expect(items()).toEqual(['a1']);
  queue.put('b', 'b1');
  stop.abort();
  running[1]?.fail(new StatusError('ServiceUnavailable', 'later'));
  queue.put('c', 'c1');
  await clock.advance(60_000);
  expect(items()).toEqual(['a1', 'b1']);
});
