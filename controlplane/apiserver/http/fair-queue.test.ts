import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { FairQueue, type Flow, type Level } from './fair-queue.ts';

const config = { seats: 4, seatsPerUser: 3, maxWaitingPerUser: 5, maxWaiting: 8, maxWaitMs: 1000 };
const signal = new AbortController().signal;
const plain: Level = { name: 'global-default', shares: 20, exempt: false, rejects: false };
const flowOf = (key: string, level: Partial<Level> = {}): Flow => ({ key, schema: 'some', level: { ...plain, ...level } });

describe('the fair queue', () => {
  let clock: ManualClock;
  let queue: FairQueue;
  let order: string[];
  beforeEach(() => { clock = new ManualClock(); queue = new FairQueue(clock, config); order = []; });

  const enter = (user: string, stop = signal): Promise<() => void> => {
    const entered = queue.enter(flowOf(user), stop).then((leave) => { order.push(user); return leave; });
    entered.catch(() => undefined);
    return entered;
  };
  const enterMany = (user: string, count: number): Promise<() => void>[] => Array.from({ length: count }, () => enter(user));
  const turn = (): Promise<void> => clock.advance(0);
  const numbers = (): number[] => [...queue.collect()].slice(0, 2).map(({ samples }) => [...samples][0]?.value ?? NaN);

  it('keeps seats from a user who would take all', async () => {
    void enterMany('greedy', 8);
    await turn();
    expect(order).toEqual(['greedy', 'greedy', 'greedy']);
    await enter('modest');
    expect(numbers()).toEqual([4, 5]);
  });

  it('gives a free seat to who holds the fewest, then to who has waited longest for a turn', async () => {
    const greedy = enterMany('greedy', 8);
    const first = await enter('modest');
    void enter('modest');
    void enter('other');
    await turn();
    order = [];
    (await greedy[0])?.();
    await turn();
    expect(order).toEqual(['other']);
    (await greedy[1])?.();
    await turn();
    expect(order).toEqual(['other', 'greedy']);
    first();
    await turn();
    expect(order).toEqual(['other', 'greedy', 'modest']);
  });

  it('refuses when too many wait, one user before all', async () => {
    void enterMany('greedy', 8);
    await expect(enter('greedy')).rejects.toMatchObject({ code: 'TooManyRequests', retryAfterMs: 1000 });
    void enterMany('modest', 4);
    await turn();
    expect(numbers()).toEqual([4, 8]);
    await expect(enter('late')).rejects.toMatchObject({ code: 'TooManyRequests' });
  });

  it('refuses who has waited too long, and lets go of who has left', async () => {
    const running = enterMany('greedy', 3);
    const late = enter('greedy');
    const gone = new AbortController();
    const left = enter('greedy', gone.signal);
    gone.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    await clock.advance(1000);
    await expect(late).rejects.toMatchObject({ code: 'TooManyRequests' });
    await expect(queue.enter(flowOf('greedy'), gone.signal)).rejects.toThrow('gone');
    for (const one of running) (await one)();
    expect(numbers()).toEqual([0, 0]);
  });

  it('divides seats that are asked for by the shares of the levels, seats exempt ones first, and lets none wait that does not want to', async () => {
    const seated: string[] = [];
    const leaves: (() => void)[] = [];
    const come = (key: string, level: Partial<Level>): void => { void queue.enter(flowOf(key, level), signal).then((leave) => { seated.push(key); leaves.push(leave); }); };
    const all = [flowOf('first'), flowOf('second')].flatMap((flow) => [flow, flow]);
    const before = await Promise.all(all.map((flow) => queue.enter(flow, signal)));
    for (let i = 0; i < 3; i++) come('low', { name: 'low', shares: 10 });
    for (let i = 0; i < 3; i++) come('high', { name: 'high', shares: 30 });
    await expect(queue.enter(flowOf('nobody', { name: 'catch-all', shares: 5, rejects: true }), signal)).rejects.toMatchObject({ code: 'TooManyRequests' });
    come('admin', { name: 'exempt', shares: 0, exempt: true });
    for (const leave of before) leave();
    await turn();
    expect(seated).toEqual(['admin', 'low', 'high', 'high']);
    expect([...queue.collect()].find(({ name }) => name === 'apiserver_flowcontrol_rejected_requests_total')?.samples).toEqual([{ labels: { flow_schema: 'some', priority_level: 'catch-all', reason: 'concurrency-limit' }, value: 1 }]);
  });

  it('counts a seat that is given back twice once', async () => {
    const [first] = enterMany('a', 3);
    const leave = await first;
    leave?.();
    leave?.();
    await turn();
    expect(numbers()).toEqual([2, 0]);
  });

  it('never seats more than fit, and seats everyone in the end', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.record({ user: fc.constantFrom('a', 'b', 'c'), leave: fc.nat(5) }), { maxLength: 60 }), async (steps) => {
      const tried = new FairQueue(new ManualClock(), { ...config, maxWaiting: 100, maxWaitingPerUser: 100 });
      const seated: { user: string; leave: () => void }[] = [];
      let all = 0;
      for (const { user, leave } of steps) {
        void tried.enter(flowOf(user), signal).then((out) => { seated.push({ user, leave: out }); all++; });
        for (let i = 0; i < leave; i++) seated.shift()?.leave();
        for (let i = 0; i < 5; i++) await Promise.resolve();
        expect(seated.length).toBeLessThanOrEqual(config.seats);
        for (const name of ['a', 'b', 'c']) expect(seated.filter((one) => one.user === name).length).toBeLessThanOrEqual(config.seatsPerUser);
      }
      while (seated.length > 0) {
        seated.shift()?.leave();
        for (let i = 0; i < 5; i++) await Promise.resolve();
      }
      expect(all).toBe(steps.length);
    }), { numRuns: 200 });
  });
});
