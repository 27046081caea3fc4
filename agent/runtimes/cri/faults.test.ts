import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ContainerState, NodeCondition } from '#api/gen/types.ts';
import { silentLog } from '#common/log.ts';
import { NodeReporter } from '#agent/node/reporter.ts';
import { testPod } from '#agent/pods/testing.ts';
import { FaultLab, type Fault } from '../test-faults.ts';
import { CriDriver } from './driver.ts';
import { CriServer } from './test-server.ts';

let lab: FaultLab;
let server: CriServer;
let driver: CriDriver;
let node: NodeReporter;

beforeEach(async () => {
  lab = await FaultLab.open();
  const endpoint = join(lab.dir, 'cri.sock');
  server = await CriServer.open(endpoint);
  driver = new CriDriver({ clock: lab.clock, log: silentLog }, { endpoint, owner: 'node' });
  const host = {
    identity: () => Promise.resolve({ hostname: 'h', architecture: 'amd64', kernelVersion: 'k', osImage: 'o', machineId: 'm', systemUuid: 's', bootId: 'b' }),
    readings: () => Promise.resolve({ cpuMillis: 4000, memoryBytes: 4e9, memoryAvailableBytes: 3e9, nodeIp: '192.0.2.1', hugePages: {}, disk: { totalBytes: 1e11, availableBytes: 5e10, inodes: 0, freeInodes: 0 }, pids: { limit: 1000, used: 1 } }),
  };
  node = await NodeReporter.open({ host, runtime: driver, notReady: [], clock: lab.clock, log: silentLog }, { nodeName: 'node', version: '1', maxPods: 110, checkIntervalMs: 10_000, labels: {} }, lab.signal);
  lab.start(driver);
  lab.run(node);
});
afterEach(async () => {
  await lab.close();
  driver.close();
  server.close();
});

const ready = (): NodeCondition | undefined => node.current().status.conditions?.find(({ type }) => type === 'Ready');
const noise = Buffer.from('ffffffffff07', 'hex');

it.each<[string, string, Fault, [string, RegExp], ContainerState['waiting']]>([
  ['does not answer which pods there are', 'ListPodSandbox', () => 'silence', ['FailedSync', /did not answer ListPodSandbox within 10 s; check that it is not stuck/], undefined],
  ['answers noise about which containers there are', 'ListContainers', () => noise, ['FailedSync', /^Error syncing pod, trying again: /], undefined],
  ['does not finish a sandbox', 'RunPodSandbox', () => 'silence', ['FailedCreatePodSandBox', /did not answer RunPodSandbox within 120 s/], { reason: 'ContainerCreating' }],
  ['says that a sandbox is there, which is not', 'RunPodSandbox', () => ({ podSandboxId: 'none' }), ['FailedSync', /says that it has done what it was asked to, and nothing has changed; look at its log/], { reason: 'ContainerCreating' }],
  ['refuses a container without a word', 'CreateContainer', () => new Error(''), ['Failed', /^Error: /], { reason: 'CreateContainerError' }],
  ['does not finish a container', 'CreateContainer', () => 'silence', ['Failed', /did not answer CreateContainer within 120 s/], { reason: 'CreateContainerError', message: expect.stringMatching(/did not answer CreateContainer/) as string }],
  ['names a container that does not exist', 'CreateContainer', () => ({ containerId: 'none' }), ['Failed', /no such thing/], { reason: 'RunContainerError', message: expect.stringMatching(/no such thing/) as string }],
])('a runtime that %s: that is said, others run, and all heals', async (_what, method, fault, event, waiting) => {
  await lab.bringThrough(testPod, server.faults, method, fault, event, waiting);
});

it.each<[string, Fault, RegExp]>([
  ['hangs', () => 'silence', /^the container runtime cannot be reached: .*has not answered within 10 s; check that it is not stuck|did not answer Status within 10 s/],
  ['answers noise', () => noise, /^the container runtime cannot be reached: /],
  ['refuses', () => new Error('disk is gone'), /disk is gone/],
])('a runtime that %s makes the node not ready until it does no more', async (_what, fault, message) => {
  expect(ready()).toMatchObject({ status: 'True' });
  server.faults.set('Status', fault);
  await lab.until(() => ready()?.status === 'False', 'the node to be not ready');
  expect(ready()).toMatchObject({ reason: 'KubeletNotReady', message: expect.stringMatching(message) as string });
  server.faults.clear();
  await lab.until(() => ready()?.status === 'True', 'the node to be ready');
});

it('a container in a state that nobody knows is in an unknown one, and one that is listed only is none', async () => {
  lab.want(testPod('odd'), testPod('other'));
  await lab.until(() => lab.isRunning('odd') && lab.isRunning('other'), 'pods to run');
  // What was asked for is kept while the listed state stays the same: a driver that begins knows nothing.
  const beginner = new CriDriver({ clock: lab.clock, log: silentLog }, { endpoint: join(lab.dir, 'cri.sock'), owner: 'node' });
  server.faults.set('ContainerStatus', ({ containerId: id }) => ({ status: { id, state: 9 } }));
  expect((await beginner.list(lab.signal, 'odd-uid')).containers.map((container) => container.state)).toEqual(['unknown']);
  server.faults.set('ContainerStatus', () => ({}));
  expect((await beginner.list(lab.signal, 'other-uid')).containers).toEqual([]);
  beginner.close();
});

it.each<[string, Fault | undefined, { readonly code: string; readonly message: RegExp }]>([
  ['whose output is held by what it left behind has timed out', undefined, { code: 'Timeout', message: /^command \["true"\] timed out after 1s: / }],
  ['in a runtime that is stuck has told nothing', () => 'silence', { code: 'ServiceUnavailable', message: /did not answer ExecSync, nor what it is: .*did not answer Version within 10 s/ }],
])('a command %s', async (_what, version, { code, message }) => {
  server.faults.set('ExecSync', () => 'silence');
  if (version) server.faults.set('Version', version);
  let failure: unknown;
  driver.exec('c', ['true'], 1000, lab.signal).catch((error: unknown) => { failure = error; });
  await lab.until(() => failure !== undefined, 'the command to be given up');
  expect(failure).toMatchObject({ code, message: expect.stringMatching(message) as string });
});
