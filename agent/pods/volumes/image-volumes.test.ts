import { access, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { ContainerStatus, Pod } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { shortened } from '#agent/runtimes/containerd/mount-as-told.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import type { AgentEvent } from '#agent/session/types.ts';
import { helloImage } from '#install/images.ts';
import { PodManager } from '../manager.ts';
import { MemoryState, testContainer, testManagerConfig, testNode, testPod } from '../testing.ts';

let dir: string;
let clock: ManualClock;
let driver: FakeDriver;
let state: MemoryState;
let events: AgentEvent[];
let manager: PodManager;
let stop: AbortController;
let running: Promise<void>;

function begin(): void {
  stop = new AbortController();
  manager = new PodManager({
    state, driver, clock, log: silentLog, events: { emit: (e) => { events.push(e); } },
    node: testNode,
  }, testManagerConfig(dir));
  running = manager.start(stop.signal);
}
async function end(): Promise<void> {
  stop.abort(new Error('end of test'));
  await running;
}
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-image-volumes-'));
  clock = new ManualClock();
  driver = new FakeDriver(clock);
  driver.images.set(helloImage, 'sha256:hello');
  [state, events] = [new MemoryState(), []];
  begin();
});
afterEach(async () => {
  await end();
  await rm(dir, { recursive: true, force: true });
});

const web = (reference: string, pullPolicy: string, name = 'web'): Pod => testPod(name, {
  volumes: [{ name: 'files', image: { reference, pullPolicy } }],
  containers: [testContainer('app', { volumeMounts: [{ name: 'files', mountPath: '/files' }] }), testContainer('other')],
});
const stateOf = (container: string): ContainerStatus['state'] => manager.all().find(({ name }) => name === 'web')?.status.containerStatuses?.find(({ name }) => name === container)?.state;
const told = (reason: string): AgentEvent[] => events.filter((event) => event.reason === reason);
async function until(condition: () => boolean, what: string): Promise<void> {
  for (const deadlineMs = performance.now() + 15_000; performance.now() < deadlineMs;) {
    if (condition()) return;
    await new Promise((resolve) => { setTimeout(resolve, 1); });
  }
  throw new Error(`not reached: ${what}; calls: ${driver.calls.join(', ')}; reports: ${JSON.stringify(manager.all())}`);
}

it('an image of a volume that cannot be pulled holds up who mounts it, in words of images, and nobody else', async () => {
  state.set(web('r.example/files:1', 'IfNotPresent'));
  await until(() => stateOf('other')?.running !== undefined && stateOf('app')?.waiting?.reason === 'ErrImagePull', 'the first failure');
  expect(told('Failed').map(({ message, fieldPath }) => [message, fieldPath])).toEqual([['Failed to pull image "r.example/files:1": failed to resolve reference "r.example/files:1": not found', undefined], ['Error: ErrImagePull', 'spec.containers{app}']]);
  await clock.advance(10_000);
  await until(() => stateOf('app')?.waiting?.reason === 'ImagePullBackOff', 'the back-off');
  expect(stateOf('app')?.waiting?.message).toBe('Back-off pulling image "r.example/files:1": ErrImagePull: failed to resolve reference "r.example/files:1": not found');
  driver.registry.set('r.example/files:1', 'sha256:files');
  await clock.advance(20_000);
  await until(() => stateOf('app')?.running !== undefined, 'the container to run');
  expect([...driver.held]).toEqual([['web-uid-files', 'sha256:files']]);
  state.remove(pods, 'default', 'web');
  await until(() => manager.evictable().length === 0, 'the end of the pod');
  expect([...driver.held]).toEqual([]);
  await expect(access(join(dir, 'pods/default_web_web-uid'))).rejects.toThrow('ENOENT');
});

it('an image is asked for once for a pod, and again for the next; what is held is let go of when nobody knows of the pod', async () => {
  driver.registry.set('r.example/files:1', 'sha256:first');
  state.set(web('r.example/files:1', 'Always'));
  await until(() => stateOf('app')?.running !== undefined, 'the pod to run');
  driver.registry.set('r.example/files:1', 'sha256:second');
  driver.exit(driver.running('web-uid').find(({ name }) => name === 'app')?.id ?? '', 1);
  await until(() => driver.calls.filter((call) => call.startsWith('start app')).length === 2, 'a restart');
  expect(driver.calls.filter((call) => call.startsWith('pull'))).toEqual(['pull r.example/files:1']);
  expect(driver.held.get('web-uid-files')).toBe('sha256:first');
  await end();
  // Deleted while no agent looked, and the runtime has forgotten it.
  const forgetful = new FakeDriver(clock);
  for (const [key, id] of driver.held) forgetful.held.set(key, id);
  driver = forgetful;
  driver.images.set(helloImage, 'sha256:hello');
  state = new MemoryState();
  begin();
  await until(() => driver.held.size === 0, 'the image to be let go of');
});

it('an engine that cannot do it is said to be the reason, and need not let go of anything', async () => {
  driver.images.set('r.example/files:1', 'sha256:files');
  driver.failures.set('mountImage', [new StatusError('Invalid', 'not with this engine')]);
  state.set(web('r.example/files:1', 'Never'));
  await until(() => stateOf('app')?.waiting?.reason === 'CreateContainerConfigError' && stateOf('other')?.running !== undefined, 'the state');
  expect(stateOf('app')?.waiting?.message).toBe('MountVolume.SetUp failed for volume "files" : not with this engine');
  state.remove(pods, 'default', 'web');
  await until(() => manager.evictable().length === 0, 'the end of the pod');
  expect(driver.calls.filter((call) => call.startsWith('release'))).toEqual([]);
});

it('names the layers of an overlay from the folder that they share, where the kernel would not take their whole names', () => {
  const options = (count: number): string => `ro,lowerdir=${Array.from({ length: count }, (_none, i) => `/var/lib/containerd/snapshots/${String(i)}/fs`).join(':')},index=off`;
  expect(shortened(options(3))).toEqual({ text: options(3) });
  const { dir: common, text } = shortened(options(120));
  expect([common, text.length < 4096, text.startsWith('ro,lowerdir=0/fs:1/fs:'), text.endsWith(':119/fs,index=off')]).toEqual(['/var/lib/containerd/snapshots', true, true, true]);
  expect(shortened('ro,rbind')).toEqual({ text: 'ro,rbind' });
});
