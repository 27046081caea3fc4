import { expect, it } from 'vitest';
import { ManualClock } from './clock.ts';
import { Limit } from './limit.ts';

const never = new AbortController().signal;

it('does one after the other, in order, whatever becomes of each', async () => {
  const limit = new Limit(1);
  const begun: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<undefined>>();
  const work = (name: string): Promise<void> => limit.run(async () => {
    begun.push(name);
    const end = Promise.withResolvers<undefined>();
    ends.set(name, end);
    await end.promise;
  });
  const first = work('first');
  const second = work('second');
  const third = work('third');
  expect(begun).toEqual(['first']);
  ends.get('first')?.reject(new Error('lost'));
  await expect(first).rejects.toThrow('lost');
  expect(begun).toEqual(['first', 'second']);
  ends.get('second')?.resolve(undefined);
  await second;
  ends.get('third')?.resolve(undefined);
  await third;
});

it('makes nobody wait for one that is stuck longer than that', async () => {
  const [limit, clock] = [new Limit(1), new ManualClock()];
  const stuck = Promise.withResolvers<string>();
  const first = limit.runSoon(() => stuck.promise, 5000, clock, never);
  const second = limit.runSoon(() => Promise.resolve('done'), 5000, clock, never);
  let isDone = false;
  void second.then(() => { isDone = true; });
  await clock.advance(4999);
  expect(isDone).toBe(false);
  await clock.advance(1);
  expect(await second).toBe('done');
  stuck.resolve('late');
  expect(await first).toBe('late');
  // Its place is free again, and taken once.
  expect(await limit.runSoon(() => Promise.resolve('next'), 5000, clock, never)).toBe('next');
});

it('ends a wait that is not wanted any more, and says how work failed', async () => {
  const [limit, clock, stop] = [new Limit(1), new ManualClock(), new AbortController()];
  const stuck = Promise.withResolvers<never>();
  const first = limit.runSoon(() => stuck.promise, 5000, clock, never);
  let begun = false;
  const second = limit.runSoon(() => { begun = true; return Promise.resolve(); }, 5000, clock, stop.signal);
  stop.abort(new Error('the pod is to end'));
  await expect(second).rejects.toThrow('the pod is to end');
  stuck.reject(new Error('lost'));
  await expect(first).rejects.toThrow('lost');
  expect(begun).toBe(false);
});
