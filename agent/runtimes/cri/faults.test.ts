import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ContainerState, NodeCondition } from '#api/gen/types.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { NodeReporter } from '#agent/node/reporter.ts';
import { PodManager } from '#agent/pods/manager.ts';
import { MemoryState, testPod } from '#agent/pods/testing.ts';
import type { AgentEvent } from '#agent/session/types.ts';
import { CriDriver } from './driver.ts';
import { CriServer, type Fault } from './test-server.ts';

let dir: string;
let clock: ManualClock;
let server: CriServer;
let driver: CriDriver;
let manager: PodManager;
let node: NodeReporter;
let state: MemoryState;
let events: AgentEvent[];
let stop: AbortController;
let running: Promise<unknown>;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-faults-'));
  clock = new ManualClock();
  const endpoint = join(dir, 'cri.sock');
  server = await CriServer.open(endpoint);
  driver = new CriDriver({ clock, log: silentLog }, { endpoint, owner: 'node' });
  state = new MemoryState();
  events = [];
  stop = new AbortController();
  const host = {
    identity: () => Promise.resolve({ hostname: 'h', architecture: 'amd64', kernelVersion: 'k', osImage: 'o', machineId: 'm', systemUuid: 's', bootId: 'b' }),
    readings: () => Promise.resolve({ cpuMillis: 4000, memoryBytes: 4e9, memoryAvailableBytes: 3e9, nodeIp: '192.0.2.1', hugePages: {}, disk: { totalBytes: 1e11, availableBytes: 5e10, inodes: 0, freeInodes: 0 }, pids: { limit: 1000, used: 1 } }),
  };
  node = await NodeReporter.open({ host, runtime: driver, notReady: [], clock, log: silentLog }, { nodeName: 'node', version: '1', maxPods: 110, checkIntervalMs: 10_000, labels: {} }, stop.signal);
  manager = new PodManager({
    state, driver, clock, log: silentLog, events: { emit: (event) => { events.push(event); } },
    node: { hostIps: () => ['192.0.2.1'], allocatable: () => ({ cpuMillis: 4000, memoryBytes: 1 << 30 }), usage: () => Promise.resolve({ cpuMillis: 1, memoryBytes: 2, cpuSeconds: 3 }) },
  }, { nodeName: 'node', stateDir: dir, cgroupRoot: '/cleat-none', clusterDomain: 'cluster.local', clusterDns: ['10.43.0.10'], resolvConfPath: '/dev/null', allowedUnsafeSysctls: [], parallelStarts: 4 });
  running = Promise.all([manager.start(stop.signal), node.start(stop.signal)]);
});
afterEach(async () => {
  stop.abort(new Error('end of test'));
  await running;
  driver.close();
  server.close();
  await rm(dir, { recursive: true, force: true });
});

/** Lets time pass, with room for what goes over the socket in between, until the condition holds. */
async function until(condition: () => boolean, what: string): Promise<void> {
  for (const deadlineMs = performance.now() + 18_000; performance.now() < deadlineMs;) {
    for (let turn = 0; turn < 50; turn++) {
      if (condition()) return;
      await new Promise((resolve) => { setImmediate(resolve); });
    }
    await clock.advance(250);
  }
  throw new Error(`not reached: ${what}; events: ${JSON.stringify(events.map(({ name, reason, message }) => [name, reason, message]))}; reports: ${JSON.stringify(manager.all())}`);
}
const stateOf = (name: string): ContainerState | undefined => manager.all().find((report) => report.name === name)?.status.containerStatuses?.[0]?.state;
const isRunning = (name: string) => (): boolean => stateOf(name)?.running !== undefined;
const ready = (): NodeCondition | undefined => node.current().status.conditions?.find(({ type }) => type === 'Ready');
const told = (name: string, reason: string, message: RegExp) => (): boolean => events.some((event) => event.name === name && event.reason === reason && message.test(event.message));

/** Of calls about one pod alone. */
const about = (name: string, fault: Fault): Fault => (request) => (JSON.stringify(request).includes(`"${name}-uid"`) ? fault(request) : undefined);
const noise = Buffer.from('ffffffffff07', 'hex');

it.each<[string, string, Fault, [string, RegExp], ContainerState['waiting']]>([
  ['does not answer which pods there are', 'ListPodSandbox', () => 'silence', ['FailedSync', /did not answer ListPodSandbox within 10 s; check that it is not stuck/], undefined],
  ['answers noise about which containers there are', 'ListContainers', () => noise, ['FailedSync', /^Error syncing pod, trying again: /], undefined],
  ['does not finish a sandbox', 'RunPodSandbox', () => 'silence', ['FailedCreatePodSandBox', /did not answer RunPodSandbox within 120 s/], { reason: 'ContainerCreating' }],
  ['says that a sandbox is there, which is not', 'RunPodSandbox', () => ({ podSandboxId: 'none' }), ['FailedSync', /says that it has done what it was asked to, and nothing has changed; look at its log/], { reason: 'ContainerCreating' }],
  ['refuses a container without a word', 'CreateContainer', () => new Error(''), ['Failed', /^Error: /], { reason: 'CreateContainerError' }],
  ['does not finish a container', 'CreateContainer', () => 'silence', ['Failed', /did not answer CreateContainer within 120 s/], { reason: 'CreateContainerError', message: expect.stringMatching(/did not answer CreateContainer/) as string }],
  ['names a container that does not exist', 'CreateContainer', () => ({ containerId: 'none' }), ['Failed', /no such thing/], { reason: 'RunContainerError', message: expect.stringMatching(/no such thing/) as string }],
])('a runtime that %s: that is said, others run, and all heals', async (_what, method, fault, [reason, message], waiting) => {
  state.set(testPod('other'));
  await until(isRunning('other'), 'the other pod to run');
  server.faults.set(method, about('bad', fault));
  state.set(testPod('bad'), testPod('third'));
  await until(told('bad', reason, message), 'the Event');
  if (waiting) await until(() => stateOf('bad')?.waiting?.reason === waiting.reason, 'the state');
  if (waiting) expect(stateOf('bad')?.waiting).toMatchObject(waiting);
  await until(isRunning('third'), 'another pod to begin');
  expect(isRunning('other')()).toBe(true);
  server.faults.clear();
  await until(isRunning('bad'), 'the pod to run');
});

it.each<[string, Fault, RegExp]>([
  ['hangs', () => 'silence', /^the container runtime cannot be reached: .*has not answered within 10 s; check that it is not stuck|did not answer Status within 10 s/],
  ['answers noise', () => noise, /^the container runtime cannot be reached: /],
  ['refuses', () => new Error('disk is gone'), /disk is gone/],
])('a runtime that %s makes the node not ready until it does no more', async (_what, fault, message) => {
  expect(ready()).toMatchObject({ status: 'True' });
  server.faults.set('Status', fault);
  await until(() => ready()?.status === 'False', 'the node to be not ready');
  expect(ready()).toMatchObject({ reason: 'KubeletNotReady', message: expect.stringMatching(message) as string });
  server.faults.clear();
  await until(() => ready()?.status === 'True', 'the node to be ready');
});

it('a container in a state that nobody knows is in an unknown one, and one that is listed only is none', async () => {
  state.set(testPod('odd'), testPod('other'));
  await until(() => isRunning('odd')() && isRunning('other')(), 'pods to run');
  // What was asked for is kept while the listed state stays the same: a driver that begins knows nothing.
  const beginner = new CriDriver({ clock, log: silentLog }, { endpoint: join(dir, 'cri.sock'), owner: 'node' });
  server.faults.set('ContainerStatus', ({ containerId: id }) => ({ status: { id, state: 9 } }));
  expect((await beginner.list(stop.signal, 'odd-uid')).containers.map((container) => container.state)).toEqual(['unknown']);
  server.faults.set('ContainerStatus', () => ({}));
  expect((await beginner.list(stop.signal, 'other-uid')).containers).toEqual([]);
  beginner.close();
});
