import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { PodStatus } from '#api/gen/types.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import type { Pressure } from '#agent/node/thresholds.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import type { AgentEvent } from '#agent/session/types.ts';
import { helloImage } from '#install/images.ts';
import { PodManager } from '../manager.ts';
import { MemoryState, testContainer, testManagerConfig, testNode, testPod } from '../testing.ts';
import { Evictor } from './evictor.ts';

let dir: string;
let clock: ManualClock;
let driver: FakeDriver;
let state: MemoryState;
let events: AgentEvent[];
let manager: PodManager;
let stop: AbortController;
let running: Promise<unknown>;
/** What the host says, one look after the other. */
let pressures: Pressure[];
let changed: () => void;
/** Signals by which pods were evicted. */
let evictions: string[];
/** How often unused things could still be freed. */
let reclaimable: number;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-evictor-'));
  [clock, state, events, pressures, stop] = [new ManualClock(), new MemoryState(), [], [], new AbortController()];
  driver = new FakeDriver(clock, { writeLogs: true });
  driver.images.set(helloImage, 'sha256:hello');
  const deps = { driver, clock, log: silentLog, events: { emit: (e: AgentEvent) => { events.push(e); } } };
  manager = new PodManager({ ...deps, state, node: testNode }, testManagerConfig(dir));
  const node = {
    pressures: () => Promise.resolve(pressures.splice(0, 1)), get isPressed() { return pressures.length > 0; },
    onPressed: (listener: () => void) => { changed = listener; return () => undefined; },
  };
  reclaimable = 0;
  evictions = [];
  const reclaim = (): Promise<boolean> => Promise.resolve(reclaimable-- > 0);
  const evictor = new Evictor({ ...deps, pods: manager, node, reclaim, counts: { evicted: (signal) => { evictions.push(signal); } } }, { nodeName: 'node', stateDir: dir, cgroupRoot: '/cleat-none', maxGraceSeconds: 7, measureMs: 1000 });
  running = Promise.all([manager.start(stop.signal), evictor.start(stop.signal)]);
});
afterEach(async () => {
  stop.abort(new Error('end of test'));
  await running;
  await rm(dir, { recursive: true, force: true });
});

const statusOf = (name: string): PodStatus | undefined => manager.all().find((r) => r.name === name)?.status;
async function until(condition: () => boolean): Promise<void> {
  for (const deadlineMs = performance.now() + 18_000; performance.now() < deadlineMs;) {
    if (condition()) return;
    await clock.advance(20);
    // Files that are removed take real time: half a minute of the lab's must not pass in a blink of it.
    await new Promise((resolve) => { setTimeout(resolve, 2); });
  }
  throw new Error(`not reached; reports: ${JSON.stringify(manager.all())}; calls: ${driver.calls.join()}`);
}

it('ends one pod after the other while the host is short of memory, the least important first', async () => {
  state.set(testPod('low'), testPod('middle', { priority: 5 }), testPod('high', { priority: 9 }));
  await until(() => ['low', 'middle', 'high'].every((name) => statusOf(name)?.phase === 'Running'));
  const pressure: Pressure = { signal: 'memory.available', threshold: '100Mi', available: 1 << 20, hard: true };
  pressures = [pressure, pressure];
  changed();
  await until(() => statusOf('middle')?.phase === 'Failed');
  expect(statusOf('low')).toMatchObject({ phase: 'Failed', reason: 'Evicted', message: expect.stringMatching(/^The node was low on resource: memory\. Threshold quantity: 100Mi, available: 1Mi\. Container app was using/) as string });
  expect(statusOf('low')?.conditions?.find((c) => c.type === 'DisruptionTarget')).toMatchObject({ status: 'True', reason: 'TerminationByKubelet' });
  // The second, once the first has given back all that it had.
  const ends = driver.calls.filter((call) => call.startsWith('stop'));
  expect(ends.slice(0, 3)).toEqual(['stop app 1s', 'stop-sandbox low', 'stop app 1s']);
  expect(events.filter((e) => e.kind === 'Node').map((e) => e.reason)).toContain('EvictionThresholdMet');
  expect(events.find((e) => e.name === 'low' && e.reason === 'Evicted')?.type).toBe('Warning');
  for (let i = 0; i < 50; i++) await clock.advance(1000);
  expect(statusOf('high')?.phase).toBe('Running');
  expect(evictions).toEqual(['memory.available', 'memory.available']);
});

it('gives them a while where the threshold is soft, and takes what they wrote where the disk is short', async () => {
  state.set(testPod('web', { volumes: [{ name: 'v', emptyDir: {} }] }));
  await until(() => statusOf('web')?.phase === 'Running');
  pressures = [{ signal: 'nodefs.available', threshold: '10%', available: 5, hard: false }];
  changed();
  await until(() => driver.calls.includes('remove app#0'));
  expect(driver.calls).toContain('stop app 7s');
  await until(() => statusOf('web')?.phase === 'Failed');
  expect(statusOf('web')?.containerStatuses?.[0]?.state?.terminated).toBeDefined();
});

it('ends a pod that goes beyond its own limit', async () => {
  state.set(testPod('big', { volumes: [{ name: 'v', emptyDir: { sizeLimit: '10Ki' } }], containers: [testContainer('app')] }), testPod('other'));
  await until(() => ['big', 'other'].every((name) => statusOf(name)?.phase === 'Running'));
  const volume = join(dir, 'pods', 'default_big_big-uid', '.volumes', 'v');
  await mkdir(volume, { recursive: true });
  await writeFile(join(volume, 'file'), Buffer.alloc(50_000));
  await until(() => statusOf('big')?.phase === 'Failed');
  expect(statusOf('big')).toMatchObject({ reason: 'Evicted', message: 'Usage of EmptyDir volume "v" exceeds the limit "10Ki". ' });
  expect(statusOf('other')?.phase).toBe('Running');
  expect(evictions).toEqual(['emptydirfs.limit']);
});

it('ends at once when it is told to before it begins', async () => {
  const node = { pressures: () => Promise.resolve([]), isPressed: false, onPressed: () => () => undefined };
  const evictor = new Evictor({ driver, clock, log: silentLog, events: { emit: () => undefined }, pods: manager, node }, { nodeName: 'node', stateDir: dir, cgroupRoot: '/cleat-none', maxGraceSeconds: 7, measureMs: 1000 });
  await expect(evictor.start(AbortSignal.abort(new Error('not now')))).resolves.toBeUndefined();
});

it('frees what nobody needs before a pod has to go for disk space, and never for memory', async () => {
  state.set(testPod('web'));
  await until(() => statusOf('web')?.phase === 'Running');
  const pressure: Pressure = { signal: 'nodefs.available', threshold: '10%', available: 1 << 20, hard: true };
  [reclaimable, pressures] = [2, [pressure, pressure]];
  changed();
  await until(() => reclaimable === 0);
  for (let i = 0; i < 50; i++) await clock.advance(1000);
  expect(statusOf('web')?.phase).toBe('Running');
  [reclaimable, pressures] = [1, [{ ...pressure, signal: 'memory.available' }]];
  changed();
  await until(() => statusOf('web')?.phase === 'Failed');
  expect(reclaimable).toBe(1);
});
