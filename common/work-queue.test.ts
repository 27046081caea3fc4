import { describe, expect, it } from 'vitest';
import { ManualClock } from './clock.ts';
import { WorkQueue } from './work-queue.ts';

const never = new AbortController().signal;

function make(jitter = 0): { clock: ManualClock; queue: WorkQueue } {
  const clock = new ManualClock();
  return { clock, queue: new WorkQueue({ clock, random: () => 0.5 }, { baseMs: 5, maxMs: 1_000_000, jitter }) };
}

async function drain(queue: WorkQueue): Promise<string[]> {
  const keys: string[] = [];
  while (queue.depth > 0) {
    const { key } = await queue.take(never);
    queue.done(key);
    keys.push(key);
  }
  return keys;
}

describe('WorkQueue', () => {
  it('hands out keys in order, each once', async () => {
    const { queue } = make();
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
    expect(await drain(queue)).toEqual(['a', 'b', 'c']);
  });

  it('gives a key added during its work again, after the others', async () => {
    const { queue } = make();
    queue.add('a');
    queue.add('b');
    const first = await queue.take(never);
    queue.add('a');
    queue.add('a');
    expect(queue.depth).toBe(1);
    queue.done(first.key);
    expect(await drain(queue)).toEqual(['b', 'a']);
  });

  it('never gives a key to two workers at a time', async () => {
    const { queue } = make();
    queue.add('a');
    await queue.take(never);
    queue.add('a');
    let taken = false;
    const second = queue.take(never).then(() => { taken = true; });
    await Promise.resolve();
    expect(taken).toBe(false);
    queue.done('a');
    await second;
  });

  it('wakes a waiting worker and tells how long the key waited', async () => {
    const { clock, queue } = make();
    const waiting = queue.take(never);
    queue.add('a');
    expect(await waiting).toEqual({ key: 'a', waitedMs: 0 });
    queue.done('a');
    queue.add('b');
    await clock.advance(7);
    expect(await queue.take(never)).toEqual({ key: 'b', waitedMs: 7 });
  });

  it('keeps the shortest of several delays', async () => {
    const { clock, queue } = make();
    queue.addAfter('a', 100);
    queue.addAfter('a', 50);
    queue.addAfter('a', 200);
    await clock.advance(49);
    expect(queue.depth).toBe(0);
    await clock.advance(1);
    expect(await drain(queue)).toEqual(['a']);
    await clock.advance(1000);
    expect(queue.depth).toBe(0);
  });

  it('backs off by doubling from 5 ms to 1000 s and starts again when forgotten', async () => {
    const { clock, queue } = make();
    const waits: number[] = [];
    for (let i = 0; i < 20; i++) {
      const start = clock.monotonic();
      queue.addRateLimited('a');
      const taken = queue.take(never).then(() => clock.monotonic() - start);
      await clock.advance(1_000_000);
      waits.push(await taken);
      queue.done('a');
    }
    expect(queue.failures('a')).toBe(20);
    queue.forget('a');
    queue.addRateLimited('a');
    await clock.advance(4);
    expect(queue.depth).toBe(0);
    await clock.advance(1);
    expect(queue.depth).toBe(1);
    expect(waits.slice(0, 4)).toEqual([5, 10, 20, 40]);
    expect(waits.slice(-2)).toEqual([1_000_000, 1_000_000]);
  });

  it('takes jitter off the delay', async () => {
    const { clock, queue } = make(0.4);
    queue.addRateLimited('a');
    await clock.advance(4);
    expect(queue.depth).toBe(1);
  });

  it('lets a wait be cancelled without losing keys', async () => {
    const { queue } = make();
    const abort = new AbortController();
    const cancelled = queue.take(abort.signal);
    const other = queue.take(never);
    abort.abort(new Error('stop'));
    await expect(cancelled).rejects.toThrow('stop');
    queue.add('a');
    expect((await other).key).toBe('a');
    await expect(queue.take(abort.signal)).rejects.toThrow('stop');
  });

  it('forgets delays when closed', async () => {
    const { clock, queue } = make();
    queue.addAfter('a', 10);
    queue.add('b');
    queue.close();
    await clock.advance(20);
    expect(queue.depth).toBe(0);
    expect(queue.delayed).toBe(0);
  });
});
