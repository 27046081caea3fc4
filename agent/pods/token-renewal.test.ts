import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import { helloImage } from '#install/images.ts';
import { PodManager } from './manager.ts';
import { podPaths } from './paths.ts';
import { MemoryState, testManagerConfig, testNode, testPod } from './testing.ts';

let dir: string;
let clock: ManualClock;
let driver: FakeDriver;
let state: MemoryState;
let issued: number;
let connected: boolean;
let manager: PodManager;
let stop: AbortController;
let running: Promise<void>;

const hour = 3_600_000;

function begin(): void {
  stop = new AbortController();
  const token = (): Promise<string> => {
    if (!connected) return Promise.reject(new StatusError('ServiceUnavailable', 'not connected'));
    issued++;
    const iat = clock.now() / 1000;
    return Promise.resolve(`h.${Buffer.from(JSON.stringify({ iat, exp: iat + 3600, n: issued })).toString('base64url')}.s`);
  };
  manager = new PodManager({
    state, driver, clock, log: silentLog, events: { emit: () => undefined }, tokens: { token },
    node: testNode,
  }, testManagerConfig(dir));
  running = manager.start(stop.signal);
}

async function end(): Promise<void> {
  stop.abort(new Error('end of test'));
  await running;
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-renewal-'));
  clock = new ManualClock();
  driver = new FakeDriver(clock);
  driver.images.set(helloImage, 'sha256:hello');
  state = new MemoryState();
  issued = 0;
  connected = true;
  begin();
});
afterEach(async () => {
  await end();
  await rm(dir, { recursive: true, force: true });
});

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  for (let i = 0; i < 2000; i++) {
    if (await condition()) return;
    await new Promise((resolve) => { setImmediate(resolve); });
    await readFile('/dev/null');
  }
  throw new Error(`not reached; ${String(issued)} issued; ${JSON.stringify(manager.all())}`);
}

const pod = testPod('web', { volumes: [{ name: 'api', projected: { sources: [{ serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }] } }] });
const inUse = async (): Promise<number> => {
  const token = await readFile(join(podPaths({ stateDir: dir }, { namespace: 'default', name: 'web', uid: 'web-uid' }).volumes, 'api/token'), 'utf8').catch(() => '');
  return token === '' ? 0 : (JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { n: number }).n;
};
const runs = (): boolean => manager.all()[0]?.status.phase === 'Running';

/** Lets time pass, minute by minute, so that what a timer sets off is done before the next. */
async function pass(condition: () => Promise<boolean> | boolean): Promise<void> {
  await until(async () => {
    await clock.advance(60_000);
    return condition();
  });
}
const starts = (): string[] => driver.calls.filter((call) => /^(run-sandbox|create|start|stop)/.test(call));

it('a running pod gets another token in time, and nothing of it restarts', async () => {
  state.set(pod);
  await until(runs);
  expect(await inUse()).toBe(1);
  const begunMs = clock.monotonic();
  const before = starts();
  await pass(async () => await inUse() === 2);
  expect(clock.monotonic() - begunMs).toBeGreaterThanOrEqual(0.8 * hour);
  await pass(async () => await inUse() === 3);
  expect(starts()).toEqual(before);
});

it('so does one that a restarted agent finds', async () => {
  state.set(pod);
  await until(runs);
  await end();
  await clock.advance(2 * hour);
  begin();
  await until(runs);
  await pass(async () => await inUse() === 2);
});

it('an old token serves while the control plane is away', async () => {
  state.set(pod);
  await until(runs);
  connected = false;
  const begunMs = clock.monotonic();
  await pass(() => clock.monotonic() - begunMs > 3 * hour);
  expect([await inUse(), runs()]).toEqual([1, true]);
  connected = true;
  await pass(async () => await inUse() === 2);
});
