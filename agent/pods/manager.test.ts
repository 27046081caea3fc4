import { existsSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Pod, PodStatus } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { ImagePuller } from '#agent/images/puller.ts';
import type { ContainerParts, PodDevices } from '#agent/devices/types.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import type { AgentEvent } from '#agent/session/types.ts';
import { helloImage } from '#install/images.ts';
import { PodManager } from './manager.ts';
import { systemCheck } from './probes/checks.ts';
import { notTls } from './probes/http-check.ts';
import type { Check } from './probes/types.ts';
import { MemoryState, testContainer, testManagerConfig, testNode, testPod } from './testing.ts';

let dir: string;
let clock: ManualClock;
let driver: FakeDriver;
let state: MemoryState;
let events: AgentEvent[];
let manager: PodManager;
let puller: ImagePuller;
let stop: AbortController;
let running: Promise<void>;
let probe: { ok: boolean; output: string };
let check: Check;
let runtimeHandlers: ReturnType<NonNullable<typeof testNode.runtimeHandlers>>;

function begin(devices?: PodDevices, podLogsDir?: string): void {
  stop = new AbortController();
  puller = new ImagePuller({ driver, clock, log: silentLog });
  manager = new PodManager({
    state, driver, images: puller, clock, log: silentLog, check: (...request) => check(...request), events: { emit: (e) => { events.push(e); } },
    node: { ...testNode, runtimeHandlers: () => runtimeHandlers }, ...(devices && { devices }),
  }, testManagerConfig(dir, { clusterDns: ['10.43.0.10'], podLogsDir }));
  running = manager.start(stop.signal);
}

async function end(): Promise<void> {
  stop.abort(new Error('end of test'));
  await running;
}

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-pods-'));
  clock = new ManualClock();
  driver = new FakeDriver(clock, { writeLogs: true });
  driver.images.set(helloImage, 'sha256:hello');
  state = new MemoryState();
  events = [];
  probe = { ok: true, output: '' };
  check = () => Promise.resolve(probe);
  runtimeHandlers = [];
  begin();
});
afterEach(async () => {
  await end();
  await rm(dir, { recursive: true, force: true });
});

const statusOf = (name: string): PodStatus | undefined => manager.all().find((r) => r.name === name)?.status;
const stateOf = (name: string, container = 'app') => statusOf(name)?.containerStatuses?.find((c) => c.name === container);
/** Lets real I/O and promises run, without letting time pass, until the condition holds. */
async function until(condition: () => boolean, what = 'condition'): Promise<void> {
  for (const deadlineMs = performance.now() + 18_000; performance.now() < deadlineMs;) {
    if (condition()) return;
    await new Promise((resolve) => { setImmediate(resolve); });
    await readFile('/dev/null');
  }
  throw new Error(`not reached: ${what}; calls: ${driver.calls.join(', ')}; reports: ${JSON.stringify(manager.all())}`);
}
const condition = (status: PodStatus | undefined, type: string): string | undefined => status?.conditions?.find((c) => c.type === type)?.status;
const app = (name: string) => driver.running(`${name}-uid`)[0]!;
const deleted = (pod: Pod, graceSeconds: number): Pod => ({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-01-01T00:00:30Z', deletionGracePeriodSeconds: graceSeconds } });

it('is left alone by an agent that ends while it looks for what nobody wants', async () => {
  await end();
  const asked = Promise.withResolvers<undefined>();
  const { promise: answered, resolve: answer } = Promise.withResolvers<undefined>();
  const list = driver.list.bind(driver);
  state.reliable = false;
  begin();
  state.set(testPod('web'));
  await until(() => condition(statusOf('web'), 'Ready') === 'True', 'web is ready');
  driver.list = async (signal, uid) => {
    const snapshot = await list(signal, uid);
    if (uid === undefined) {
      asked.resolve(undefined);
      await answered;
    }
    return snapshot;
  };
  // From now on what has no worker is ended.
  state.reliable = true;
  state.tell([]);
  await asked.promise;
  stop.abort(new Error('the agent ends'));
  await new Promise((resolve) => { setImmediate(resolve); });
  answer(undefined);
  await running;
  driver.list = list;
  expect(await readdir(join(dir, 'pods'))).toEqual(['default_web_web-uid']);
});

describe('a pod', () => {
  it('leaves no log of an attempt that is forgotten, however many files it had', async () => {
    state.set(testPod('web'));
    const logs = join(dir, 'pods/default_web_web-uid/app');
    await until(() => app('web') !== undefined && statusOf('web')?.phase === 'Running');
    for (const n of [1, 4, 5, 27]) await writeFile(join(logs, `0.log.${String(n)}`), '');
    for (const restarts of [1, 2]) {
      await clock.advance(600_000);
      driver.exit(app('web').id, 1);
      await clock.advance(600_000);
      await until(() => stateOf('web')?.restartCount === restarts && stateOf('web')?.state?.running !== undefined);
    }
    await until(() => readdirSync(logs).sort().join() === '1.log,2.log', 'the logs of two attempts');
  });

  it('leaves no log where logs were before, either', async () => {
    state.set(testPod('web'));
    await until(() => app('web') !== undefined && statusOf('web')?.phase === 'Running');
    await end();
    begin(undefined, join(dir, 'log/pods'));
    for (const restarts of [1, 2]) {
      await until(() => app('web') !== undefined && statusOf('web')?.phase === 'Running');
      await clock.advance(600_000);
      driver.exit(app('web').id, 1);
      await clock.advance(600_000);
      await until(() => stateOf('web')?.restartCount === restarts && stateOf('web')?.state?.running !== undefined);
    }
    const logs = join('default_web_web-uid', 'app');
    await until(() => readdirSync(join(dir, 'log/pods', logs)).join() === '1.log,2.log' && readdirSync(join(dir, 'log/containers')).length === 2, 'the logs of two attempts');
    await until(() => readdirSync(join(dir, 'pods', logs)).length === 0, 'nothing of the first one');
  });

  it('runs and is reported as kubelet would', async () => {
    state.set(testPod('web'));
    await until(() => statusOf('web')?.phase === 'Running');
    expect(driver.calls).toEqual(['run-sandbox web', 'create app#0', 'start app#0']);
    expect(statusOf('web')).toMatchObject({ phase: 'Running', qosClass: 'BestEffort', hostIP: '192.0.2.1', podIP: expect.stringMatching(/^10\.42\.0\./) });
    expect(stateOf('web')).toMatchObject({ ready: true, started: true, restartCount: 0, imageID: 'sha256:hello', state: { running: {} }, containerID: expect.stringMatching(/^fake:\/\//) });
    for (const type of ['PodReadyToStartContainers', 'Initialized', 'Ready', 'ContainersReady', 'PodScheduled']) expect(condition(statusOf('web'), type)).toBe('True');
    expect(events.map((e) => e.reason)).toEqual(['Pulled', 'Created', 'Started']);
    expect(events[0]).toMatchObject({ kind: 'Pod', name: 'web', fieldPath: 'spec.containers{app}', message: `Container image "${helloImage}" already present on machine` });
  });

  it('restarts with a doubling back-off', async () => {
    state.set(testPod('web'));
    await until(() => statusOf('web')?.phase === 'Running');
    driver.exit(app('web').id, 1);
    await until(() => stateOf('web')?.restartCount === 1 && stateOf('web')?.state?.running !== undefined);
    driver.exit(app('web').id, 1);
    await until(() => stateOf('web')?.state?.waiting?.reason === 'CrashLoopBackOff');
    expect(stateOf('web')).toMatchObject({ restartCount: 1, ready: false, lastState: { terminated: { exitCode: 1, reason: 'Error' } }, state: { waiting: { message: 'back-off 10s restarting failed container=app pod=web_default(web-uid)' } } });
    expect(condition(statusOf('web'), 'Ready')).toBe('False');
    const backoffs = () => events.filter((e) => e.reason === 'BackOff');
    expect(backoffs()).toEqual([expect.objectContaining({ type: 'Warning', message: 'Back-off restarting failed container app in pod web_default(web-uid)', fieldPath: 'spec.containers{app}' })]);
    await clock.advance(9_999);
    expect(driver.running('web-uid')).toEqual([]);
    await clock.advance(1);
    await until(() => stateOf('web')?.restartCount === 2);
    driver.exit(app('web').id, 1);
    await until(() => stateOf('web')?.state?.waiting?.message?.startsWith('back-off 20s') ?? false);
    expect(backoffs()).toHaveLength(2);
    const times = { startedAt: expect.stringMatching(/^\d{4}-.*Z$/), finishedAt: expect.stringMatching(/^\d{4}-.*Z$/) };
    expect(stateOf('web')?.lastState?.terminated).toMatchObject({ ...times, exitCode: 1, reason: 'Error', containerID: stateOf('web')?.containerID });
  });

  it('is initialized once its init containers have ended well, not while they run', async () => {
    const web = testPod('web', { initContainers: [testContainer('first'), testContainer('second')] });
    state.set({ ...web, metadata: { ...web.metadata, generation: 3 } });
    await until(() => driver.running('web-uid').length === 1 && statusOf('web')?.initContainerStatuses?.[0]?.state?.running !== undefined);
    expect(statusOf('web')?.initContainerStatuses?.[0]).toMatchObject({ ready: false, started: true });
    expect(statusOf('web')?.conditions).toContainEqual(expect.objectContaining({ type: 'Initialized', status: 'False', message: 'containers with incomplete status: [first second]', observedGeneration: 3 }));
    driver.exit(driver.running('web-uid')[0]!.id, 0);
    await until(() => statusOf('web')?.initContainerStatuses?.[1]?.state?.running !== undefined);
    expect(statusOf('web')?.conditions).toContainEqual(expect.objectContaining({ type: 'Initialized', message: 'containers with incomplete status: [second]' }));
    driver.exit(driver.running('web-uid')[0]!.id, 0);
    await until(() => condition(statusOf('web'), 'Initialized') === 'True');
    expect(statusOf('web')).toMatchObject({ observedGeneration: 3, initContainerStatuses: [{ ready: true }, { ready: true }] });
  });

  it('completes when its containers do', async () => {
    state.set(testPod('job', { restartPolicy: 'Never', containers: [testContainer('app'), testContainer('b')] }));
    await until(() => driver.running('job-uid').length === 2);
    for (const c of driver.running('job-uid')) driver.exit(c.id, 0);
    await until(() => statusOf('job')?.phase === 'Succeeded' && driver.calls.includes('stop-sandbox job'));
    expect(statusOf('job')?.conditions).toContainEqual(expect.objectContaining({ type: 'Ready', status: 'False', reason: 'PodCompleted' }));
  });

  it('is as old as it is when the clock is set, by years too', async () => {
    state.set(testPod('job', { activeDeadlineSeconds: 600, restartPolicy: 'Never' }));
    await until(() => statusOf('job')?.phase === 'Running');
    const { id } = app('job');
    for (const years of [56, -60, 4]) {
      clock.jump(years * 365 * 86_400_000);
      state.set(testPod('job', { activeDeadlineSeconds: 600, restartPolicy: 'Never' }));
      await clock.advance(100_000);
      await until(() => driver.running('job-uid')[0]?.id === id, `it goes on after ${String(years)} years`);
      expect(statusOf('job')?.phase).toBe('Running');
    }
    await clock.advance(301_000);
    await until(() => statusOf('job')?.reason === 'DeadlineExceeded', 'its time is over');
  });

  it('has completed when its sidecars have ended too', async () => {
    driver.stubborn.add('proxy');
    state.set(testPod('job', { restartPolicy: 'Never', initContainers: [testContainer('proxy', { restartPolicy: 'Always' })] }));
    await until(() => driver.running('job-uid').length === 2);
    driver.exit(driver.running('job-uid').find((c) => c.name === 'app')!.id, 0);
    await until(() => driver.calls.includes('stop proxy 30s'));
    expect(statusOf('job')?.phase).toBe('Running');
    await clock.advance(30_000);
    await until(() => statusOf('job')?.phase === 'Succeeded');
    expect(statusOf('job')?.initContainerStatuses?.[0]?.state?.terminated?.exitCode).toBe(137);
    expect(driver.running('job-uid')).toEqual([]);
  });

  it('ends gently when it is deleted and says when it is gone', async () => {
    const pod = testPod('web');
    state.set(pod);
    await until(() => statusOf('web')?.phase === 'Running');
    state.set(deleted(pod, 12));
    await until(() => manager.all().some((r) => r.gone));
    expect(driver.calls.slice(3)).toEqual(['stop app 12s', 'remove-sandbox web']);
    expect(stateOf('web')?.state?.terminated).toMatchObject({ exitCode: 143 });
    expect(statusOf('web')?.phase).toBe('Failed');
    expect(events.at(-1)).toMatchObject({ reason: 'Killing', message: 'Stopping container app' });
    state.remove(pods, 'default', 'web');
    expect(manager.all()).toEqual([]);
  });

  it('can be deleted faster while it ends slowly', async () => {
    driver.stubborn.add('app');
    const pod = testPod('web');
    state.set(pod);
    await until(() => statusOf('web')?.phase === 'Running');
    state.set(deleted(pod, 1000));
    await until(() => driver.calls.includes('stop app 1000s'));
    state.set(deleted(pod, 0));
    await until(() => manager.all().some((r) => r.gone));
    expect(driver.calls).toContain('stop app 0s');
  });

  it('is asked whether it still serves, and not whether it lives, while it ends', async () => {
    driver.stubborn.add('app');
    const asked: string[] = [];
    check = ({ tcpSocket }) => { asked.push(String(tcpSocket?.port)); return Promise.resolve(probe); };
    const pod = testPod('web', { containers: [testContainer('app', { readinessProbe: { tcpSocket: { port: 'ready' }, failureThreshold: 1 }, livenessProbe: { tcpSocket: { port: 'alive' }, failureThreshold: 1 } })] });
    state.set(pod);
    await until(() => statusOf('web')?.phase === 'Running');
    await clock.advance(1);
    await until(() => condition(statusOf('web'), 'Ready') === 'True');
    state.set(deleted(pod, 1000));
    await until(() => driver.calls.includes('stop app 1000s'));
    probe = { ok: false, output: 'leaving' };
    asked.length = 0;
    await clock.advance(20_000);
    await until(() => condition(statusOf('web'), 'Ready') === 'False');
    expect(stateOf('web')).toMatchObject({ ready: false, state: { running: {} } });
    expect(new Set(asked)).toEqual(new Set(['ready']));
    state.set(deleted(pod, 0));
    await until(() => manager.all().some((r) => r.gone));
  });

  it('runs the hooks of all containers when it ends, and only then ends one after the other', async () => {
    const asked: string[] = [];
    const answers = new Map([['app', Promise.withResolvers<typeof probe>()], ['proxy', Promise.withResolvers<typeof probe>()]]);
    check = ({ exec }) => { const [name = ''] = exec?.command ?? []; asked.push(name); return answers.get(name)!.promise; };
    const hooked = (name: string, more = {}) => testContainer(name, { lifecycle: { preStop: { exec: { command: [name] } } }, ...more });
    const pod = testPod('web', { initContainers: [hooked('proxy', { restartPolicy: 'Always' })], containers: [hooked('app')] });
    state.set(pod);
    await until(() => statusOf('web')?.phase === 'Running');
    state.set(deleted(pod, 30));
    await until(() => asked.length === 2);
    answers.get('app')!.resolve({ ok: true, output: '' });
    await until(() => driver.calls.includes('stop app 30s'));
    await clock.advance(4000);
    expect(driver.calls.filter((call) => call.startsWith('stop'))).toEqual(['stop app 30s']);
    answers.get('proxy')!.resolve({ ok: false, output: 'out of order' });
    await until(() => manager.all().some((r) => r.gone));
    expect(driver.calls.filter((call) => call.startsWith('stop '))).toEqual(['stop app 30s', expect.stringMatching(/^stop proxy (26|30)s$/)]);
    expect(asked).toEqual(expect.arrayContaining(['app', 'proxy']));
    expect(asked).toHaveLength(2);
    expect(events.filter(({ reason }) => reason === 'FailedPreStopHook').map(({ message }) => message)).toEqual(['PreStopHook failed: out of order']);
  });

  it.each<[string, NonNullable<Parameters<typeof testContainer>[1]>['lifecycle'] & object, string | undefined]>([
    ['may take longer than the pod has to end', { postStart: { exec: { command: ['long'] } } }, undefined],
    ['has answered with any status', { postStart: { httpGet: { port: 80 } } }, undefined],
    ['cannot be a connection alone', { postStart: { tcpSocket: { port: 80 } } }, 'PostStartHook failed: Cannot run handler: Invalid handler: there are hooks of exec, httpGet and sleep only'],
  ])('knows a hook that %s', async (_what, lifecycle, problem) => {
    const answer = Promise.withResolvers<Awaited<ReturnType<Check>>>();
    let given = 0;
    check = ({ timeoutSeconds = 0, httpGet }) => { given = timeoutSeconds; return httpGet ? Promise.resolve({ ok: false, answered: true, output: 'HTTP probe failed with statuscode: 404' }) : answer.promise; };
    state.set(testPod('web', { terminationGracePeriodSeconds: 1, containers: [testContainer('app', { lifecycle })] }));
    if (lifecycle.postStart?.exec) {
      await until(() => given > 0);
      await clock.advance(3_600_000);
      answer.resolve({ ok: true, output: '' });
    }
    await until(() => (problem === undefined ? statusOf('web')?.phase === 'Running' : events.some(({ reason }) => reason === 'FailedPostStartHook')));
    expect(events.find(({ reason }) => reason === 'FailedPostStartHook')?.message).toBe(problem);
    if (lifecycle.postStart?.exec) expect(given).toBeGreaterThan(3600);
  });

  it('asks for a hook once more without TLS, and without what it should be known by, where the server has none', async () => {
    const asked: object[] = [];
    check = ({ httpGet }) => {
      asked.push(httpGet ?? {});
      return Promise.resolve(httpGet?.scheme === 'HTTPS' ? { ok: false, output: `Get "https://10.1.0.1:80/warm": ${notTls}` } : { ok: true, output: '' });
    };
    const headers = [{ name: 'X-Who', value: 'me' }, { name: 'authorization', value: 'Bearer secret' }];
    state.set(testPod('web', { containers: [testContainer('app', { lifecycle: { postStart: { httpGet: { scheme: 'HTTPS', path: '/warm', port: 80, httpHeaders: headers } } } })] }));
    await until(() => statusOf('web')?.phase === 'Running');
    expect(asked).toEqual([{ scheme: 'HTTPS', path: '/warm', port: 80, httpHeaders: headers }, { scheme: 'HTTP', path: '/warm', port: 80, httpHeaders: headers.slice(0, 1) }]);
    expect(events.filter(({ type }) => type === 'Warning')).toEqual([expect.objectContaining({ reason: 'LifecycleHTTPFallback', message: 'request to HTTPS lifecycle hook 10.1.0.1:80 got HTTP response, retry with HTTP succeeded' })]);
  });

  it('waits for what it refers to, and starts when that comes', async () => {
    state.set(testPod('web', { containers: [testContainer('app', { env: [{ name: 'A', valueFrom: { configMapKeyRef: { name: 'cfg', key: 'a' } } }, { name: 'B', value: '$(A)-b' }] })] }));
    await until(() => stateOf('web')?.state?.waiting?.reason === 'CreateContainerConfigError');
    expect(stateOf('web')?.state?.waiting?.message).toBe('configmap "cfg" not found');
    expect(statusOf('web')?.phase).toBe('Pending');
    state.set({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cfg', namespace: 'default' }, data: { a: '1' } });
    await until(() => statusOf('web')?.phase === 'Running');
    expect(driver.configOf(app('web').id).env).toEqual(expect.arrayContaining([{ name: 'A', value: '1' }, { name: 'B', value: '1-b' }]));
  });

  it('waits for a device plugin that does not answer by itself, and not when it is to end', async () => {
    await end();
    const asked = new Set<string>();
    const parts = async ({ metadata }: Pod, _container: string, signal: AbortSignal): Promise<ContainerParts | undefined> => {
      if (metadata?.name === 'quick') return undefined;
      asked.add(metadata?.name ?? '');
      return new Promise((_resolve, reject) => { signal.addEventListener('abort', () => { reject(signal.reason as Error); }, { once: true }); });
    };
    const nothing = (): undefined => undefined;
    begin({ admit: () => Promise.resolve(undefined), parts, outdated: () => new Set(), health: () => new Map(), ending: nothing, release: nothing, retain: nothing, manages: () => false, subscribe: () => nothing });
    const slow = Array.from({ length: 8 }, (_, i) => testPod(`slow-${String(i)}`));
    state.set(...slow);
    await until(() => asked.size === slow.length, 'the plugin is asked for all of them');
    state.set(testPod('quick'));
    await until(() => statusOf('quick')?.phase === 'Running', 'another pod runs');
    for (const pod of slow) state.set(deleted(pod, 0));
    await until(() => manager.all().filter(({ gone }) => gone).length === slow.length, 'all of them are gone');
  });

  it('backs off when the image cannot be pulled', async () => {
    state.set(testPod('web', { imagePullSecrets: [{ name: 'absent' }, { name: 'here' }, { name: 'gone' }], containers: [testContainer('app', { image: 'example.com/none:1' })] }), { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'here', namespace: 'default' } });
    const log = () => manager.logs({ namespace: 'default', podName: 'web', podUid: 'web-uid', container: 'app', follow: false, previous: false, timestamps: false }, stop.signal)[Symbol.asyncIterator]().next();
    await until(() => stateOf('web')?.state?.waiting?.reason === 'ErrImagePull');
    await expect(log()).rejects.toThrow('container "app" in pod "web" is waiting to start: image can\'t be pulled');
    expect(events.find((e) => e.reason === 'FailedToRetrieveImagePullSecret')).toMatchObject({ type: 'Warning', message: 'Unable to retrieve some image pull secrets (absent, gone); attempting to pull the image may not succeed.' });
    await clock.advance(10_000);
    await until(() => stateOf('web')?.state?.waiting?.reason === 'ImagePullBackOff');
    await expect(log()).rejects.toThrow('container "app" in pod "web" is waiting to start: trying and failing to pull image');
    driver.registry.set('example.com/none:1', 'sha256:none');
    await clock.advance(20_000);
    await until(() => statusOf('web')?.phase === 'Running');
    expect(events.map((e) => e.reason)).toEqual(expect.arrayContaining(['Pulling', 'Failed', 'BackOff', 'Pulled', 'Started']));
  });

  it('refuses a pod for good, and says why', async () => {
    state.set(testPod('web', { securityContext: { sysctls: [{ name: 'kernel.panic', value: '1' }] } }));
    await until(() => statusOf('web')?.phase === 'Failed');
    expect(statusOf('web')).toMatchObject({ reason: 'SysctlForbidden', message: 'Pod was rejected: forbidden sysctl: "kernel.panic" not allowlisted' });
    expect(events).toEqual([expect.objectContaining({ type: 'Warning', reason: 'SysctlForbidden', message: 'forbidden sysctl: "kernel.panic" not allowlisted' })]);
    expect(driver.calls).toEqual([]);
  });

  it('says what this node cannot give', async () => {
    const refusal = 'resource claims are not supported on this node';
    state.set(testPod('web', { resourceClaims: [{ name: 'gpu' }] }));
    await until(() => stateOf('web')?.state?.waiting?.reason === 'CreateContainerConfigError');
    expect(stateOf('web')?.state?.waiting?.message).toBe(refusal);
    expect(events.at(-1)).toMatchObject({ type: 'Warning', reason: 'Failed', fieldPath: 'spec.containers{app}', message: `Error: ${refusal}` });
  });

  it('keeps its own files apart from those of containers, whatever these are called', async () => {
    const volumes = [{ name: 'api', projected: { sources: [{ downwardAPI: { items: [{ path: 'name', fieldRef: { fieldPath: 'metadata.name' } }] } }] } }];
    state.set(testPod('web', { volumes, containers: ['hosts', 'tokens', 'resources'].map((name) => testContainer(name)) }));
    await until(() => statusOf('web')?.phase === 'Running');
    expect(driver.running('web-uid').map(({ name }) => name).toSorted()).toEqual(['hosts', 'resources', 'tokens']);
  });

  it('gives pods users of their own where the runtime can, and the same ones whenever they begin anew', async () => {
    state.set({ apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: 'sealed' }, handler: 'runsc' }, testPod('web', { hostUsers: false }), testPod('other', { hostUsers: false }), testPod('sealed', { hostUsers: false, runtimeClassName: 'sealed' }), testPod('plain'));
    await until(() => events.filter((e) => e.reason === 'FailedCreatePodSandBox').length === 3 && statusOf('plain')?.phase === 'Running');
    expect(new Set(events.filter((e) => e.reason === 'FailedCreatePodSandBox').map((e) => e.message.replace(/^Failed to create pod sandbox: can't set `spec\.hostUsers: false`, /, '')))).toEqual(new Set(['runtime does not support user namespaces', 'RuntimeClass handler "runsc" does not support user namespaces']));
    runtimeHandlers = [{ name: '', features: { userNamespaces: true } }, { name: 'runsc', features: { userNamespaces: false } }];
    await clock.advance(4000);
    await until(() => ['web', 'other'].every((name) => statusOf(name)?.phase === 'Running'));
    const given = (name: string) => driver.sandboxConfigs.findLast(({ podName }) => podName === name)?.userNamespace;
    const [own, others] = [given('web'), given('other')];
    expect([own?.length, others?.length, own?.first === others?.first, given('plain')]).toEqual([65_536, 65_536, false, undefined]);
    await end();
    begin();
    driver.loseSandbox((await driver.list(stop.signal, 'web-uid')).sandboxes[0]?.id ?? '');
    await until(() => driver.calls.filter((call) => call === 'run-sandbox web').length === 2);
    expect(given('web')).toEqual(own);
    // Whoever comes when it has gone may have what it had.
    state.remove(pods, 'default', 'web');
    await until(() => statusOf('web') === undefined && !existsSync(join(dir, 'pods/default_web_web-uid')));
    state.set(testPod('next', { hostUsers: false }));
    await until(() => statusOf('next')?.phase === 'Running');
    expect(given('next')?.first).not.toBe(others?.first);
  });

  it('says that a runtime class is unknown, and runs in it when it is there', async () => {
    state.set(testPod('web', { runtimeClassName: 'sealed' }));
    await until(() => events.some((e) => e.reason === 'FailedCreatePodSandBox'));
    expect(events.at(-1)?.message).toBe('Failed to create pod sandbox: failed to lookup RuntimeClass sealed: runtimeclass.node.k8s.io "sealed" not found');
    state.set({ apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: { name: 'sealed' }, handler: 'runsc' });
    await clock.advance(2000);
    await until(() => statusOf('web')?.phase === 'Running');
    expect(driver.sandboxConfigs.at(-1)?.runtimeHandler).toBe('runsc');
  });

  it('gets an ephemeral container while it runs, which sees the processes of another', async () => {
    const pod = testPod('web');
    state.set(pod);
    await until(() => statusOf('web')?.phase === 'Running');
    const target = app('web').id;
    state.set({ ...pod, spec: { ...pod.spec!, ephemeralContainers: [{ ...testContainer('debug'), targetContainerName: 'app' }, { ...testContainer('lost'), targetContainerName: 'none' }] } });
    const debug = (name = 'debug') => statusOf('web')?.ephemeralContainerStatuses?.find((c) => c.name === name);
    await until(() => debug()?.state?.running !== undefined && debug('lost')?.state?.waiting?.reason === 'CreateContainerConfigError');
    expect(debug('lost')?.state?.waiting?.message).toBe('unable to find target container none: it does not run');
    const id = driver.running('web-uid').find((c) => c.name === 'debug')?.id ?? '';
    expect(driver.configOf(id).targetContainerId).toBe(target);
    expect(events.find((e) => e.message === 'Started container debug')?.fieldPath).toBe('spec.ephemeralContainers{debug}');
    driver.exit(id, 1);
    await until(() => debug()?.state?.terminated?.exitCode === 1);
    await clock.advance(600_000);
    expect(debug()).toMatchObject({ ready: false, restartCount: 0 });
    expect(app('web').id).toBe(target);
    expect(condition(statusOf('web'), 'Ready')).toBe('True');
  });

  it('says that a name is no image name', async () => {
    state.set(testPod('web', { containers: [testContainer('app', { image: 'NO IMAGE' })] }));
    await until(() => stateOf('web')?.state?.waiting?.reason === 'InvalidImageName');
    expect(events.map((e) => e.reason)).toEqual(['InspectFailed', 'Failed']);
    expect(driver.calls.some((c) => c.startsWith('pull'))).toBe(false);
  });

  it('never pulls what may not be pulled', async () => {
    state.set(testPod('web', { containers: [testContainer('app', { image: 'example.com/none:1', imagePullPolicy: 'Never' })] }));
    await until(() => stateOf('web')?.state?.waiting?.reason === 'ErrImageNeverPull');
    expect(driver.calls.some((c) => c.startsWith('pull'))).toBe(false);
    // Somebody loads it: nobody need wait for the next look.
    await clock.advance(600_000);
    driver.images.set('example.com/none:1', 'sha256:none');
    puller.noteArrival();
    await until(() => statusOf('web')?.phase === 'Running');
  });

  it('retries a sandbox that failed', async () => {
    driver.failures.set('runSandbox', [new StatusError('InternalError', 'no address left')]);
    state.set(testPod('web'));
    await until(() => events.some((e) => e.reason === 'FailedCreatePodSandBox'));
    expect(stateOf('web')?.state?.waiting?.reason).toBe('ContainerCreating');
    await clock.advance(2000);
    await until(() => statusOf('web')?.phase === 'Running');
  });

  it('replaces a container whose image was changed', async () => {
    driver.images.set('example.com/new:2', 'sha256:new');
    const pod = testPod('web');
    state.set(pod);
    await until(() => statusOf('web')?.phase === 'Running');
    state.set({ ...pod, spec: { ...pod.spec!, containers: [testContainer('app', { image: 'example.com/new:2' })] } });
    await until(() => stateOf('web')?.imageID === 'sha256:new' && stateOf('web')?.state?.running !== undefined);
    expect(stateOf('web')?.restartCount).toBe(1);
    expect(driver.calls.filter((c) => c.startsWith('run-sandbox'))).toHaveLength(1);
  });

  it('gets a new sandbox when its own is lost', async () => {
    state.set(testPod('web'));
    await until(() => statusOf('web')?.phase === 'Running');
    driver.loseSandbox(app('web').sandboxId);
    await until(() => stateOf('web')?.restartCount === 1 && stateOf('web')?.ready === true);
    expect(driver.calls.filter((c) => c === 'run-sandbox web')).toHaveLength(2);
  });
});

describe('probes', () => {
  it('make a pod ready, unready and restarted', async () => {
    probe = { ok: false, output: 'refused' };
    const httpGet = { port: 80 };
    state.set(testPod('web', { containers: [testContainer('app', { readinessProbe: { httpGet, failureThreshold: 1 }, livenessProbe: { httpGet, initialDelaySeconds: 60, failureThreshold: 2, periodSeconds: 10 } })] }));
    await until(() => statusOf('web')?.phase === 'Running');
    expect(condition(statusOf('web'), 'Ready')).toBe('False');
    await clock.advance(1);
    await until(() => events.some((e) => e.message === 'Readiness probe failed: refused'));
    probe = { ok: true, output: '' };
    await clock.advance(10_000);
    await until(() => condition(statusOf('web'), 'Ready') === 'True');
    probe = { ok: false, output: 'refused' };
    await clock.advance(10_000);
    await until(() => condition(statusOf('web'), 'Ready') === 'False');
    await clock.advance(60_000);
    await until(() => stateOf('web')?.restartCount === 1);
    expect(events.map((e) => e.message)).toContain('Container app failed liveness probe, will be restarted');
  });

  it('that cannot be run say nothing of the container', async () => {
    driver.failures.set('exec', Array.from({ length: 3 }, () => new StatusError('ServiceUnavailable', 'the runtime is away')));
    check = systemCheck(driver, clock);
    state.set(testPod('web', { containers: [testContainer('app', { livenessProbe: { exec: { command: ['true'] }, failureThreshold: 1 }, readinessProbe: { exec: { command: ['true'] } } })] }));
    await until(() => statusOf('web')?.phase === 'Running');
    for (let i = 0; i < 4; i++) { await clock.advance(10_000); await until(() => driver.calls.filter((c) => c === 'exec app true').length >= 2 * i + 2); }
    expect(events.filter((e) => e.reason === 'Unhealthy').map((e) => e.message)).toContain('Liveness probe errored and resulted in unknown state: the runtime is away');
    await until(() => condition(statusOf('web'), 'Ready') === 'True');
    expect(stateOf('web')).toMatchObject({ ready: true, restartCount: 0 });
  });

  it('wait for the startup probe', async () => {
    probe = { ok: false, output: 'not yet' };
    state.set(testPod('web', { containers: [testContainer('app', { startupProbe: { tcpSocket: { port: 1 }, failureThreshold: 5 }, livenessProbe: { tcpSocket: { port: 1 }, failureThreshold: 1 } })] }));
    await until(() => statusOf('web')?.phase === 'Running');
    await clock.advance(20_000);
    expect(stateOf('web')).toMatchObject({ started: false, ready: false, restartCount: 0 });
    probe = { ok: true, output: '' };
    await clock.advance(10_000);
    await until(() => stateOf('web')?.started === true);
    expect(stateOf('web')).toMatchObject({ ready: true, restartCount: 0 });
  });

  it('keep their delay after the startup probe, counted from the start of the container', async () => {
    const asked = new Map<string, number>();
    check = ({ tcpSocket }) => { asked.set(String(tcpSocket?.port), asked.get(String(tcpSocket?.port)) ?? clock.monotonic()); return Promise.resolve(probe); };
    state.set(testPod('web', { containers: [testContainer('app', { startupProbe: { tcpSocket: { port: 1 }, initialDelaySeconds: 5 }, readinessProbe: { tcpSocket: { port: 2 }, initialDelaySeconds: 3 }, livenessProbe: { tcpSocket: { port: 3 }, initialDelaySeconds: 60 } })] }));
    await until(() => stateOf('web')?.state?.running !== undefined);
    const startedMs = clock.monotonic();
    for (let i = 0; i < 70; i++) { await clock.advance(1000); await until(() => true); }
    await until(() => asked.size === 3);
    expect([...asked].map(([port, ms]) => [port, Math.round((ms - startedMs) / 1000)])).toEqual([['1', 5], ['2', 5], ['3', 60]]);
  });
});

describe('resources of a pod', () => {
  const sized = (name: string, cpu: string, memory: string, change: Partial<Parameters<typeof testContainer>[1]> = {}): Pod => testPod(name, { containers: [testContainer('app', { resources: { requests: { cpu, memory }, limits: { cpu, memory } }, ...change })] });
  const conditionOf = (name: string, type: string) => statusOf(name)?.conditions?.find((c) => c.type === type);

  it('are changed while it runs', async () => {
    state.set(sized('web', '1', '64Mi'));
    await until(() => statusOf('web')?.phase === 'Running');
    const { id } = app('web');
    expect(stateOf('web')).toMatchObject({ allocatedResources: { cpu: '1', memory: '64Mi' }, resources: { limits: { cpu: '1', memory: '64Mi' } } });
    state.set(sized('web', '2', '128Mi'));
    await until(() => stateOf('web')?.resources?.limits?.['cpu'] === '2');
    expect(driver.calls.filter((call) => call.startsWith('update'))).toEqual([`update app cpu=2048/200000 memory=${String(128 << 20)}`]);
    expect(app('web').id).toBe(id);
    expect(statusOf('web')?.conditions?.filter((c) => c.type.startsWith('PodResize'))).toEqual([]);
    expect(events.map((e) => e.reason)).toEqual(expect.arrayContaining(['ResizeStarted', 'ResizeCompleted']));
  });

  it('are changed by a new container where the container asks for that', async () => {
    const change = { resizePolicy: [{ resourceName: 'memory', restartPolicy: 'RestartContainer' }, { resourceName: 'cpu', restartPolicy: 'NotRequired' }] };
    state.set(sized('web', '1', '64Mi', change));
    await until(() => statusOf('web')?.phase === 'Running');
    state.set(sized('web', '1', '128Mi', change));
    await until(() => stateOf('web')?.restartCount === 1 && stateOf('web')?.state?.running !== undefined);
    expect(driver.configOf(app('web').id).resources.memoryLimitBytes).toBe(128 << 20);
    expect(driver.calls.some((call) => call.startsWith('update'))).toBe(false);
    await until(() => statusOf('web')?.conditions?.some((c) => c.type === 'PodResizeInProgress') === false);
  });

  it('wait until the node has them, and are refused when it never will', async () => {
    state.set(sized('web', '1', '64Mi'), sized('other', '2', '64Mi'));
    await until(() => ['web', 'other'].every((name) => statusOf(name)?.phase === 'Running'));
    state.set(sized('web', '3', '64Mi'));
    await until(() => conditionOf('web', 'PodResizePending') !== undefined);
    expect(conditionOf('web', 'PodResizePending')).toMatchObject({ status: 'True', reason: 'Deferred', message: "Node didn't have enough resource: cpu, requested: 3000, used: 2000, capacity: 4000" });
    expect(stateOf('web')).toMatchObject({ allocatedResources: { cpu: '1' }, resources: { limits: { cpu: '1' } } });
    state.remove(pods, 'default', 'other');
    await until(() => stateOf('web')?.resources?.limits?.['cpu'] === '3');
    state.set(sized('web', '5', '64Mi'));
    await until(() => conditionOf('web', 'PodResizePending')?.reason === 'Infeasible');
    expect(conditionOf('web', 'PodResizePending')?.message).toBe("Node didn't have enough capacity: cpu, requested: 5000, capacity: 4000");
    state.set(sized('web', '3', '64Mi'));
    await until(() => conditionOf('web', 'PodResizePending') === undefined);
  });

  it('are changed when an agent comes that did not see the change, and tried again when that fails', async () => {
    state.set(sized('web', '1', '64Mi'));
    await until(() => statusOf('web')?.phase === 'Running');
    await end();
    state.set(sized('web', '2', '64Mi'));
    driver.failures.set('updateContainer', [new StatusError('InternalError', 'device busy')]);
    begin();
    await until(() => conditionOf('web', 'PodResizeInProgress')?.reason === 'Error');
    expect(conditionOf('web', 'PodResizeInProgress')?.message).toBe('device busy');
    await clock.advance(10_000);
    await until(() => stateOf('web')?.resources?.limits?.['cpu'] === '2' && conditionOf('web', 'PodResizeInProgress') === undefined);
  });

  it('are refused for good where a pod that comes needs more than is left', async () => {
    state.set(sized('web', '3', '64Mi'));
    await until(() => statusOf('web')?.phase === 'Running');
    state.set(sized('late', '2', '64Mi'));
    await until(() => statusOf('late')?.phase === 'Failed');
    expect(statusOf('late')).toMatchObject({ reason: 'OutOfcpu', message: "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000" });
    state.remove(pods, 'default', 'web');
    await until(() => driver.running('web-uid').length === 0);
    expect(driver.running('late-uid')).toEqual([]);
    // One of the system is let in; of the others as few go as will do.
    state.set(sized('most', '2', '64Mi'), sized('some', '1', '64Mi'), sized('rest', '1', '64Mi'));
    await until(() => ['most', 'some', 'rest'].every((name) => statusOf(name)?.phase === 'Running'));
    const urgent = sized('urgent', '2', '64Mi');
    state.set({ ...urgent, spec: { ...urgent.spec!, priority: 2_000_000_000 } });
    await until(() => statusOf('most')?.phase === 'Failed' || statusOf('some')?.phase === 'Failed');
    await clock.advance(2000);
    await until(() => statusOf('urgent')?.phase === 'Running');
    expect(statusOf('most')).toMatchObject({ phase: 'Failed', reason: 'Preempting', message: 'Preempted in order to admit critical pod' });
    expect(condition(statusOf('most'), 'DisruptionTarget')).toBe('True');
    expect(['some', 'rest'].map((name) => statusOf(name)?.phase)).toEqual(['Running', 'Running']);
    for (const name of ['most', 'some', 'rest', 'urgent']) state.remove(pods, 'default', name);
    await until(() => driver.running('urgent-uid').length === 0);
    // One that was removed by force makes room at once, however long it takes to end.
    state.set(sized('slow', '4', '64Mi'));
    await until(() => statusOf('slow')?.phase === 'Running');
    driver.stubborn.add('app');
    state.remove(pods, 'default', 'slow');
    state.set(sized('next', '4', '64Mi'));
    await until(() => statusOf('next')?.phase === 'Running');
    driver.stubborn.clear();
    state.remove(pods, 'default', 'next');
    await until(() => { void clock.advance(1000); return driver.running('next-uid').length + driver.running('slow-uid').length === 0; });
    // Pods that began here come back, even where they would not fit any more.
    state.set(sized('a', '2', '64Mi'), sized('b', '2', '64Mi'));
    await until(() => ['a', 'b'].every((name) => statusOf(name)?.phase === 'Running'));
    await end();
    driver.wipe();
    state.set(sized('0', '1', '64Mi'));
    begin();
    await until(() => ['a', 'b'].every((name) => statusOf(name)?.phase === 'Running') && statusOf('0')?.phase === 'Failed');
  });
});

describe('a host that goes down', () => {
  it('ends its pods without failing them, the system last, and goes on with them where it stays', async () => {
    state.set(testPod('web'), testPod('better', { priority: 1000 }), testPod('system', { priority: 2_000_001_000 }));
    await until(() => ['web', 'better', 'system'].every((name) => statusOf(name)?.phase === 'Running'));
    const halt = async (below: number, seconds: number): Promise<void> => {
      let done = false;
      const halting = manager.halt(below, seconds, stop.signal).then(() => { done = true; });
      await until(() => { void clock.advance(50); return done; });
      await halting;
    };
    await halt(1000, 5);
    expect([driver.running('web-uid').length, driver.running('better-uid').length]).toEqual([0, 1]);
    await halt(2_000_000_000, 4);
    expect(driver.running('better-uid')).toEqual([]);
    expect([driver.running('web-uid').length, driver.running('system-uid').length]).toEqual([0, 1]);
    expect(driver.calls).toContain('stop app 5s');
    state.set(testPod('late'));
    await halt(Infinity, 3);
    expect(driver.running('system-uid')).toEqual([]);
    await until(() => condition(statusOf('web'), 'Ready') === 'False');
    expect(['web', 'system'].map((name) => statusOf(name)?.phase)).toEqual(['Running', 'Running']);
    const why = 'Pod was terminated in response to imminent node shutdown.';
    expect(statusOf('web')).toMatchObject({ reason: 'Terminated', message: why });
    expect(statusOf('web')?.conditions?.find(({ type }) => type === 'DisruptionTarget')).toMatchObject({ status: 'True', reason: 'TerminationByKubelet', message: why });
    expect(driver.calls).not.toContain('run-sandbox late');
    manager.resume();
    await until(() => ['web', 'system', 'late'].every((name) => driver.running(`${name}-uid`).length === 1));
    await until(() => statusOf('web')?.reason === undefined && condition(statusOf('web'), 'DisruptionTarget') === undefined);
  });

  it('has failed those that are not to be started again, and only those that ran', async () => {
    state.set(testPod('once', { restartPolicy: 'Never' }), testPod('done', { restartPolicy: 'Never' }));
    await until(() => ['once', 'done'].every((name) => statusOf(name)?.phase === 'Running'));
    driver.exit(app('done').id, 1);
    await until(() => statusOf('done')?.phase === 'Failed');
    let ended = false;
    const halting = manager.halt(Infinity, 3, stop.signal).then(() => { ended = true; });
    await until(() => { void clock.advance(50); return ended; });
    await halting;
    await until(() => statusOf('once')?.phase === 'Failed');
    expect(['once', 'done'].map((name) => statusOf(name)?.reason)).toEqual(['Terminated', undefined]);
  });
});

describe('an agent that restarts', () => {
  it('adopts what runs and touches nothing', async () => {
    state.set(testPod('web', { containers: [testContainer('app', { readinessProbe: { tcpSocket: { port: 1 }, initialDelaySeconds: 600 } })] }));
    await until(() => statusOf('web')?.phase === 'Running');
    await clock.advance(600_000);
    await until(() => stateOf('web')?.ready === true);
    const before = app('web').id;
    const calls = driver.calls.length;
    await end();
    begin();
    const seen: (boolean | undefined)[] = [];
    manager.subscribe((r) => seen.push(r.status.containerStatuses?.[0]?.ready));
    await until(() => { void clock.advance(1); return stateOf('web')?.ready === true; });
    expect(app('web').id).toBe(before);
    expect(driver.calls.length).toBe(calls);
    // It never said that a ready pod was not.
    expect(seen).toEqual([true]);
  });

  it('removes the files of pods that ended unseen', async () => {
    await end();
    const old = join(dir, 'pods', 'default_old_old-uid', 'app');
    await mkdir(old, { recursive: true });
    begin();
    await until(() => !existsSync(old));
  });

  it('makes everything anew when the runtime has lost it', async () => {
    state.set(testPod('web'), testPod('db'));
    await until(() => statusOf('web')?.phase === 'Running' && statusOf('db')?.phase === 'Running');
    await end();
    driver.wipe();
    begin();
    await until(() => driver.running('web-uid').length + driver.running('db-uid').length === 2);
  });

  it('ends pods that nobody wants, but only when it knows', async () => {
    state.set(testPod('web'));
    await until(() => statusOf('web')?.phase === 'Running');
    await end();
    state = new MemoryState();
    state.known = false;
    begin();
    await clock.advance(60_000);
    expect(driver.running('web-uid')).toHaveLength(1);
    state.known = true;
    state.tell([]);
    await until(() => driver.calls.includes('remove-sandbox web'));
    expect(driver.calls).toContain('stop app 1s');
    expect(manager.all()).toEqual([]);
  });

  it.each<[string, Partial<Pod['metadata'] & object>, number | undefined, string]>([
    ['gets a moment', {}, undefined, 'stop app 1s'],
    ['none at all where its deletion says so', {}, 0, 'remove-sandbox web'],
    ['all its time where a file asked for it', { annotations: { 'kubernetes.io/config.source': 'file' } }, undefined, 'stop app 30s'],
  ])('ends a pod that was removed outright, and says that it is there until it is gone: %s', async (_, metadata, graceSeconds, call) => {
    driver.stubborn.add('app');
    const pod = testPod('web');
    const asked = { ...pod, metadata: { ...pod.metadata, ...metadata } };
    state.set(asked);
    await until(() => statusOf('web')?.phase === 'Running');
    const [[uid, ips = []] = []] = await manager.addresses(stop.signal);
    expect([uid, ips[0]]).toEqual(['web-uid', statusOf('web')?.podIP]);
    let left = 0;
    manager.onLeft(() => { left = manager.leaving().length + 1; });
    if (graceSeconds !== undefined) state.set(deleted(asked, graceSeconds));
    state.remove(pods, 'default', 'web');
    expect([manager.all(), manager.leaving()]).toEqual([[], ['web-uid']]);
    await until(() => driver.calls.includes(call));
    await until(() => { void clock.advance(1000); return left > 0; });
    expect([left, await manager.addresses(stop.signal)]).toEqual([1, new Map()]);
  });

  it('begins with what a file describes now when what it described before has ended', async () => {
    driver.stubborn.add('app');
    const ofFile = (uid: string): Pod => testPod('web', {}, { uid, annotations: { 'kubernetes.io/config.source': 'file' } });
    state.set(ofFile('first'));
    await until(() => statusOf('web')?.phase === 'Running');
    for (const uid of ['second', 'third']) state.set(ofFile(uid));
    await until(() => driver.calls.includes('stop app 30s'));
    await clock.advance(29_000);
    expect(driver.calls.filter((call) => call.startsWith('run-sandbox'))).toHaveLength(1);
    await clock.advance(2000);
    await until(() => driver.running('third').length === 1);
    expect(driver.calls.filter((call) => call.startsWith('run-sandbox'))).toHaveLength(2);
  });

  it('ends the old pod of a name that now belongs to a new one', async () => {
    state.set(testPod('web'));
    await until(() => statusOf('web')?.phase === 'Running');
    state.set(testPod('web', {}, { uid: 'second' }));
    await until(() => driver.running('second').length === 1 && driver.running('web-uid').length === 0);
    expect(manager.all().map((r) => r.uid)).toEqual(['second']);
  });
});

describe('logs and usage', () => {
  it('come through the manager', async () => {
    state.set(testPod('web'));
    await until(() => statusOf('web')?.phase === 'Running');
    await driver.print(app('web').id, 'one');
    await driver.print(app('web').id, 'two');
    const query = { namespace: 'default', podName: 'web', podUid: 'web-uid', container: 'app', follow: true, previous: false, timestamps: false, tailLines: 1 };
    let text = '';
    for await (const chunk of manager.logs(query, stop.signal)) {
      text += Buffer.from(chunk).toString();
      if (text === 'two\n') { await driver.print(app('web').id, 'three'); driver.exit(app('web').id, 0); }
    }
    expect(text).toBe('two\nthree\n');
    await expect(manager.logs({ ...query, container: 'none' }, stop.signal)[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'BadRequest' });
  });

  it('measures between two samples', async () => {
    state.set(testPod('web'));
    await until(() => statusOf('web')?.phase === 'Running');
    const usage = manager.usage(stop.signal);
    await clock.advance(1000);
    expect(await usage).toMatchObject({ windowMs: 1000, node: { cpuMillis: 1, memoryBytes: 2 }, pods: [{ name: 'web', containers: [{ name: 'app', id: app('web').id, cpuMillis: 100, memoryBytes: 1 << 20, cpuSeconds: expect.any(Number), startedAtMs: app('web').startedAtMs }] }] });
  });
});
