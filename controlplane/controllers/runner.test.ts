import { expect, it } from 'vitest';
import type { ResourceQuota } from '#api/gen/types.ts';
import { resourceQuotas } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { Metrics } from '#common/metrics.ts';
import { FakeApi, FakeInformers } from '#test/support/fake-api.ts';
import { controllerConfig } from '#test/support/run-controllers.ts';
import { ControllerManager } from './manager.ts';
import { ControllerRunner } from './runner.ts';
import type { Controller, ReconcileResult } from './types.ts';

function make(reconcile: Controller['reconcile'], workers = 1) {
  const clock = new ManualClock();
  const abort = new AbortController();
  const synced = Promise.withResolvers<undefined>();
  let enqueue: (key: string) => void = () => undefined;
  const controller: Controller = { workers, reconcile, watches: [{ synced: async () => { await synced.promise; }, subscribe: (add) => { enqueue = add; return () => undefined; } }] };
  const runner = new ControllerRunner({ clock, log: silentLog, random: () => 0 }, 'test', controller);
  const running = runner.start(abort.signal);
  return { clock, runner, running, synced, abort, add: (key: string): void => { enqueue(key); } };
}

it('works on nothing before its informers have synced', async () => {
  const seen: string[] = [];
  const t = make(async (key) => { seen.push(key); return undefined; });
  t.add('a');
  t.add('a');
  await t.clock.advance(10);
  expect(seen).toEqual([]);
  t.synced.resolve(undefined);
  await t.clock.advance(0);
  expect(seen).toEqual(['a']);
  t.abort.abort(new Error('stop'));
  await t.running;
});

it('retries what fails with a growing back-off, conflicts without counting an error', async () => {
  const at: number[] = [];
  const t = make(async () => {
    at.push(t.clock.monotonic());
    if (at.length <= 2) throw new StatusError('Conflict', 'stale');
    if (at.length <= 4) throw new Error('broken');
    return undefined;
  });
  t.synced.resolve(undefined);
  t.add('a');
  await t.clock.advance(10_000);
  expect(at.slice(1).map((time, i) => time - at[i]!)).toEqual([5, 10, 20, 40]);
  expect(t.runner.metrics).toMatchObject({ processed: 5, retries: 4, errors: 2, depth: 0 });
  t.abort.abort(new Error('stop'));
  await t.running;
});

it('is back soon after an outage of the store, however long that was', async () => {
  const at: number[] = [];
  let refusing = true;
  const t = make(async () => {
    at.push(t.clock.monotonic());
    if (refusing) throw new StatusError('ServiceUnavailable', 'the disk is full');
    return undefined;
  });
  t.synced.resolve(undefined);
  t.add('a');
  await t.clock.advance(7_200_000);
  refusing = false;
  const [begun, looks] = [t.clock.monotonic(), at.length];
  await t.clock.advance(3_600_000);
  expect(at.length).toBe(looks + 1);
  expect(at.at(-1)! - begun).toBeLessThanOrEqual(10_000);
  t.abort.abort(new Error('stop'));
  await t.running;
});

it('comes back when something is due, and rests otherwise', async () => {
  let looks = 0;
  const t = make(async (): Promise<ReconcileResult | undefined> => (++looks === 1 ? { afterMs: 60_000 } : undefined));
  t.synced.resolve(undefined);
  t.add('a');
  await t.clock.advance(59_999);
  expect(looks).toBe(1);
  await t.clock.advance(3_600_000);
  expect(looks).toBe(2);
  expect(t.runner.metrics.delayed).toBe(0);
  t.abort.abort(new Error('stop'));
  await t.running;
});

it('slows down a key that changes without end', async () => {
  let looks = 0;
  const t = make(async (key) => { looks += 1; t.add(key); return undefined; });
  t.synced.resolve(undefined);
  t.add('a');
  await t.clock.advance(10_000);
  expect(looks).toBeLessThan(1500);
  expect(t.runner.metrics).toMatchObject({ spinning: 1, errors: 0 });
  const slowed = t.runner.metrics.slowed;
  looks = 0;
  await t.clock.advance(60_000);
  expect(looks).toBeLessThan(1500);
  expect(t.runner.metrics.slowed).toBeGreaterThan(slowed);
  t.abort.abort(new Error('stop'));
  await t.running;
});

it('ends after the work under way', async () => {
  const work = Promise.withResolvers<undefined>();
  const t = make(async () => work.promise, 2);
  t.synced.resolve(undefined);
  t.add('a');
  await t.clock.advance(3000);
  expect(t.runner.metrics).toMatchObject({ adds: 1, depth: 0, runningMs: [3000] });
  t.abort.abort(new Error('stop'));
  let ended = false;
  void t.running.then(() => { ended = true; });
  await t.clock.advance(0);
  expect(ended).toBe(false);
  work.resolve(undefined);
  await t.running;
});

it('is told of under Kubernetes\' names', async () => {
  const all = new Metrics();
  const manager = new ControllerManager({ informers: new FakeInformers(new FakeApi({ clock: new ManualClock() })), client: new FakeApi({ clock: new ManualClock() }), recorder: () => ({ event: () => undefined }), clock: new ManualClock(), log: silentLog, random: () => 0, controllers: { one: () => ({ watches: [{ synced: () => Promise.resolve(), subscribe: (add) => { add('a'); return () => undefined; } }], reconcile: () => Promise.resolve(undefined) }) } }, controllerConfig);
  all.add(() => manager.collect());
  const abort = new AbortController();
  const running = manager.start(abort.signal);
  await expect.poll(() => manager.metrics['one']?.processed).toBe(1);
  const text = all.text();
  for (const line of ['workqueue_depth{name="one"} 0', 'workqueue_adds_total{name="one"} 1', 'workqueue_retries_total{name="one"} 0', 'workqueue_unfinished_work_seconds{name="one"} 0', 'workqueue_longest_running_processor_seconds{name="one"} 0',
    'workqueue_queue_duration_seconds_count{name="one"} 1', 'workqueue_work_duration_seconds_bucket{name="one",le="+Inf"} 1', 'cleat_controller_slowed_total{name="one"} 0', 'cleat_controller_keys_without_progress{name="one"} 0']) expect(text).toContain(`${line}\n`);
  abort.abort(new Error('stop'));
  await running;
});

it('looks again at what was refused as soon as a quota of its namespace has room, and at nothing else', async () => {
  const clock = new ManualClock();
  const api = new FakeApi({ clock });
  const abort = new AbortController();
  const looks: string[] = [];
  const reconcile = (key: string): Promise<undefined> => {
    looks.push(key);
    return Promise.reject(key.includes('forbidden') ? new StatusError('Forbidden', 'exceeded quota') : new Error('broken'));
  };
  const greedy: Controller = { reconcile, watches: [], ready: (enqueue) => { for (const key of ['one/forbidden', 'one/broken', 'two/forbidden']) enqueue(key); } };
  const quota = (pods: string, used: string): ResourceQuota => ({ metadata: { namespace: 'one', name: 'few' }, spec: { hard: { pods, 'requests.cpu': '1' } }, status: { hard: { pods }, used: { pods: used, 'requests.cpu': '1' } } });
  await api.create(resourceQuotas, quota('3', '3'));
  const manager = new ControllerManager({ informers: new FakeInformers(api), client: api, recorder: () => api.events, clock, log: silentLog, random: () => 0, controllers: { greedy: () => greedy } }, controllerConfig);
  const running = manager.start(abort.signal);
  await clock.advance(600_000);
  const after = async (change: () => Promise<unknown>): Promise<string[]> => {
    looks.length = 0;
    await change();
    await clock.advance(0);
    return [...looks];
  };
  expect(await after(() => api.update(resourceQuotas, quota('2', '3')))).toEqual([]);
  expect(await after(() => api.update(resourceQuotas, quota('2', '3'), 'status'))).toEqual([]);
  expect(await after(() => api.update(resourceQuotas, quota('4', '3')))).toEqual(['one/forbidden']);
  expect(await after(() => api.update(resourceQuotas, quota('4', '2'), 'status'))).toEqual(['one/forbidden']);
  expect(await after(() => api.update(resourceQuotas, quota('4', '4'), 'status'))).toEqual([]);
  expect(await after(() => api.delete(resourceQuotas, 'one', 'few'))).toEqual(['one/forbidden']);
  abort.abort(new Error('stop'));
  await running;
});
