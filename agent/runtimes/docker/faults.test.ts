import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ContainerState, Pod } from '#api/gen/types.ts';
import { silentLog } from '#common/log.ts';
import { testPod } from '#agent/pods/testing.ts';
import { FaultLab, type Fault } from '../test-faults.ts';
import { DockerDriver } from './driver.ts';
import { DockerServer } from './test-server.ts';

let lab: FaultLab;
let server: DockerServer;
let driver: DockerDriver;

beforeEach(async () => {
  lab = await FaultLab.open();
  const endpoint = join(lab.dir, 'docker.sock');
  server = await DockerServer.open(endpoint);
  driver = new DockerDriver({ clock: lab.clock, log: silentLog }, { endpoint, owner: 'node', stateDir: lab.dir, runDir: lab.dir, sandboxImage: 'pause', cni: { confDir: lab.dir, binDirs: [lab.dir] } });
  lab.start(driver);
});
afterEach(async () => {
  await lab.close();
  server.close();
});

/** In the host's network, for which nothing of a real host is needed. */
const pod = (name: string): Pod => testPod(name, { hostNetwork: true });
const noise = Buffer.from('{"Id":');

it.each<[string, string, Fault, [string, RegExp], ContainerState['waiting']]>([
  ['does not answer which containers there are', 'GET /containers/json', () => 'silence', ['FailedSync', /Docker did not answer GET \/containers\/json on .* within 10 s; check that it is not stuck/], undefined],
  ['answers with one thing where a list was asked for', 'GET /containers/json', () => ({ message: 'hello' }), ['FailedSync', /is not what its API says; check what listens on/], undefined],
  ['answers half a container', 'GET /containers/*/json', () => ({ Id: 'x', State: {} }), ['FailedCreatePodSandBox', /is not what its API says/], { reason: 'ContainerCreating' }],
  ['does not finish a sandbox', 'POST /containers/create', () => 'silence', ['FailedCreatePodSandBox', /did not answer POST \/containers\/create on .* within 120 s/], { reason: 'ContainerCreating' }],
  ['answers noise about a sandbox', 'POST /containers/create', () => noise, ['FailedCreatePodSandBox', /is not Docker: \{"Id":/], { reason: 'ContainerCreating' }],
  ['names a sandbox that does not exist', 'POST /containers/create', () => ({ Id: 'none' }), ['FailedCreatePodSandBox', /no such thing/], { reason: 'ContainerCreating' }],
  ['does not start a container', 'POST /containers/*/start', (request) => (JSON.stringify(request).includes('"sandbox"') ? undefined : 'silence'), ['Failed', /did not answer POST \/containers\/id\d+\/start on .* within 120 s/], { reason: 'RunContainerError' }],
  ['refuses to start a container', 'POST /containers/*/start', (request) => (JSON.stringify(request).includes('"sandbox"') ? undefined : new Error('the disk is gone')), ['Failed', /the disk is gone/], { reason: 'RunContainerError', message: 'the disk is gone' }],
])('a Docker that %s: that is said, others run, and all heals', async (_what, call, fault, event, waiting) => {
  await lab.bringThrough(pod, server.faults, call, fault, event, waiting);
});

it.each<[string, Fault]>([['hangs', () => 'silence'], ['answers noise', () => noise], ['is something else', () => ({ hello: 'world' })]])('a Docker that %s is not ready', async (_what, fault) => {
  server.faults.set('GET /version', fault);
  let problem = '';
  const asked = driver.notReady(lab.signal).catch((error: unknown) => { problem = String(error); });
  await lab.until(() => problem !== '', 'an error');
  await asked;
  expect(problem).toMatch(/Docker did not answer GET \/version.* within 10 s|is not Docker|is not what its API says/);
});

it('a container in a state that nobody knows is in an unknown one', async () => {
  lab.want(pod('odd'));
  await lab.until(() => lab.isRunning('odd'), 'the pod to run');
  server.faults.set('GET /containers/*/json', () => ({ Id: 'id2', Created: '', Image: 'sha256:1', Config: {}, State: { Status: 'dreaming', Running: false, ExitCode: 0, Error: '' } }));
  const beginner = new DockerDriver({ clock: lab.clock, log: silentLog }, { endpoint: join(lab.dir, 'docker.sock'), owner: 'node', stateDir: lab.dir, runDir: lab.dir, sandboxImage: 'pause', cni: { confDir: lab.dir, binDirs: [lab.dir] } });
  expect((await beginner.list(lab.signal)).containers.map((container) => container.state)).toEqual(['unknown']);
});
