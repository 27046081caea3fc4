import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Pod, PodStatus } from '#api/gen/types.ts';
import { pods } from '#api/kinds/resources.ts';
import { systemClock } from '#common/clock.ts';
import { exec, execOk } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { openContainerdLab, type ContainerdLab } from '#agent/runtimes/containerd/test-lab.ts';
import type { AgentEvent } from '#agent/session/types.ts';
import { Evictor } from './eviction/evictor.ts';
import { ObjectSeal } from '#agent/state/seal.ts';
import { PodManager } from './manager.ts';
import { MemoryVolumes } from './volumes/secret-volumes.ts';
import { MemoryState, testContainer, testPod as anyPod } from './testing.ts';

let lab: ContainerdLab;
let state: MemoryState;
let manager: PodManager;
let events: AgentEvent[];
let stop: AbortController;
let running: Promise<unknown>;
const listeners = new Set<() => void>();
const seal = new ObjectSeal(Buffer.alloc(32));

beforeAll(async () => { lab = await openContainerdLab('10.77.1.0/24'); });
afterAll(async () => { await lab.close(); });

function begin(): void {
  stop = new AbortController();
  manager = new PodManager({
    state, secretVolumes: new MemoryVolumes({ seal, log: silentLog }), driver: lab.connect(), clock: systemClock, log: silentLog, events: { emit: (e) => { events.push(e); tell(); } },
    node: { hostIps: () => ['192.0.2.1'], allocatable: () => ({ cpuMillis: 2000, memoryBytes: 4 * 1024 ** 3 }), usage: () => Promise.resolve({ cpuMillis: 1, memoryBytes: 2, cpuSeconds: 3 }) },
  }, { nodeName: 'node', stateDir: lab.stateDir, cgroupRoot: `/${lab.netns}`, clusterDomain: 'cluster.local', clusterDns: ['10.43.0.10'], resolvConfPath: '/dev/null', allowedUnsafeSysctls: [], podMaxPids: 50, parallelStarts: 8 });
  manager.subscribe(tell);
  const calm = { pressures: () => Promise.resolve([]), isPressed: false, onPressed: () => () => undefined };
  const evictor = new Evictor({ pods: manager, node: calm, driver: lab.driver, clock: systemClock, events: { emit: () => undefined }, log: silentLog }, { nodeName: 'node', stateDir: lab.stateDir, cgroupRoot: `/${lab.netns}`, maxGraceSeconds: 0, measureMs: 200 });
  running = Promise.all([manager.start(stop.signal), evictor.start(stop.signal)]);
}
async function end(): Promise<void> {
  stop.abort(new Error('end'));
  await running;
}
function tell(): void { for (const listener of listeners) listener(); }

beforeEach(() => {
  state = new MemoryState();
  events = [];
  begin();
});
afterEach(async () => {
  for (const pod of state.list(pods)) state.remove(pods, 'default', pod.metadata?.name ?? '');
  await until(async () => (await lab.driver.list(stop.signal)).sandboxes.length === 0);
  await end();
});

async function folderOf(name: string): Promise<string> {
  const parent = join(lab.stateDir, 'pods');
  return join(parent, (await readdir(parent)).find((folder) => folder.includes(`${name}-uid`)) ?? '');
}

/** Looks again after each report and event. */
async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const signal = AbortSignal.timeout(60_000);
  for (;;) {
    const changed = new Promise<void>((resolve, reject) => {
      const next = (): void => { listeners.delete(next); resolve(); };
      listeners.add(next);
      setTimeout(next, 50);
      if (signal.aborted) reject(new Error(`not reached; reports: ${JSON.stringify(manager.all())}; events: ${events.map((e) => e.message).join(' | ')}`));
    });
    if (await condition()) return;
    await changed;
  }
}
const statusOf = (name: string): PodStatus | undefined => manager.all().find((r) => r.name === name)?.status;
const isReady = (name: string): boolean => statusOf(name)?.conditions?.find((c) => c.type === 'Ready')?.status === 'True';
const stateOf = (name: string, container = 'app') => [...statusOf(name)?.initContainerStatuses ?? [], ...statusOf(name)?.containerStatuses ?? []].find((c) => c.name === container);
const idOf = (name: string): string => stateOf(name)?.containerID?.replace(/^containerd:\/\//, '') ?? '';
/** `sleep` as pid 1 does not hear SIGTERM: nothing is gained by waiting for it. */
const testPod = (name: string, spec: Partial<NonNullable<Pod['spec']>> = {}, metadata: Pod['metadata'] = {}): Pod => anyPod(name, { terminationGracePeriodSeconds: 1, ...spec }, metadata);
const sh = (script: string): { command: string[] } => ({ command: ['sh', '-c', script] });
async function inside(name: string, script: string): Promise<string> {
  return (await lab.driver.exec(idOf(name), ['sh', '-c', script], 5000, stop.signal)).output;
}
async function logs(name: string, options: { previous?: boolean; follow?: boolean } = {}): Promise<string> {
  let text = '';
  const query = { namespace: 'default', podName: name, podUid: `${name}-uid`, container: 'app', follow: false, previous: false, timestamps: false, ...options };
  for await (const chunk of manager.logs(query, stop.signal)) text += Buffer.from(chunk).toString();
  return text;
}

describe('pods on containerd', () => {
  it('run their init containers in order and share their volumes', async () => {
    const volumeMounts = [{ name: 'data', mountPath: '/data' }];
    state.set(testPod('web', {
      volumes: [{ name: 'data', emptyDir: {} }],
      initContainers: [testContainer('one', { ...sh('echo one >> /data/order'), volumeMounts }), testContainer('two', { ...sh('echo two >> /data/order'), volumeMounts })],
      containers: [testContainer('app', { ...sh('cat /data/order; exec sleep 1000'), volumeMounts })],
    }));
    await until(() => isReady('web'));
    expect(await logs('web')).toBe('one\ntwo\n');
    expect(stateOf('web', 'one')?.state?.terminated).toMatchObject({ exitCode: 0, reason: 'Completed' });
    expect(statusOf('web')?.podIP).toMatch(/^10\.77\.1\./);
  });

  it('see their environment, files, names and limits', async () => {
    state.set({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cfg', namespace: 'default' }, data: { greeting: 'hello' } });
    state.set({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'sec', namespace: 'default' }, data: { password: Buffer.from('xyzzy').toString('base64') } });
    state.set({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'dns', namespace: 'kube-system' }, spec: { clusterIP: '10.43.0.10' } });
    state.set(testPod('env', {
      volumes: [
        { name: 'cfg', configMap: { name: 'cfg' } }, { name: 'sec', secret: { secretName: 'sec', defaultMode: 0o400 } }, { name: 'mem', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
        { name: 'info', downwardAPI: { items: [{ path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } }] } },
      ],
      containers: [testContainer('app', {
        env: [{ name: 'GREETING', valueFrom: { configMapKeyRef: { name: 'cfg', key: 'greeting' } } }, { name: 'TEXT', value: '$(GREETING) $(POD_IP)' }, { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
        volumeMounts: [{ name: 'cfg', mountPath: '/cfg' }, { name: 'sec', mountPath: '/sec' }, { name: 'mem', mountPath: '/mem' }, { name: 'info', mountPath: '/info' }, { name: 'cfg', mountPath: '/one', subPath: 'greeting' }],
        resources: { limits: { memory: '64Mi', cpu: '500m' } },
        securityContext: { runAsUser: 1234, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      })],
    }, { labels: { app: 'env' } }));
    await until(() => isReady('env'));
    const ip = statusOf('env')?.podIP ?? '';
    expect(await inside('env', 'echo $GREETING; cat /cfg/greeting /one; id -u; hostname')).toBe('hello\nhellohello1234\nenv\n');
    expect(await inside('env', 'cat /etc/hosts')).toContain(`${ip}\tenv\n`);
    expect(await inside('env', 'cat /etc/resolv.conf')).toBe('search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.43.0.10\noptions ndots:5\n');
    expect(await inside('env', 'cat /info/labels; touch /x 2>&1; touch /mem/ok && echo ok')).toMatch(/^app="env"touch: .*\nok\n$/);
    expect(statusOf('env')?.qosClass).toBe('Guaranteed');
    // A Secret is never written to a disk, as swap is, where the kernel can promise that.
    const [major = 0, minor = 0] = release().split('.').map(Number);
    const noswap = major > 6 || (major === 6 && minor >= 3);
    expect(await inside('env', "grep -E ' /(sec|mem) ' /proc/mounts | cut -d' ' -f3,4")).toMatch(noswap ? /^(tmpfs \S*,noswap\S*\n){2}$/ : /^(tmpfs \S*\n){2}$/);
    expect(await readFile(join(await folderOf('env'), '.volumes/sec/password'), 'utf8')).toBe('xyzzy');
    const uid = (await readdir(join('/sys/fs/cgroup', 'memory', lab.netns)).catch(() => [])).filter((d) => d.startsWith('pod'));
    expect(uid).toEqual(['podenv-uid']);

    state.set({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cfg', namespace: 'default' }, data: { greeting: 'goodbye' } });
    state.set({ apiVersion: 'v1', kind: 'Secret', metadata: { name: 'sec', namespace: 'default' }, data: { password: Buffer.from('plugh').toString('base64') } });
    await until(async () => await inside('env', 'cat /cfg/greeting') === 'goodbye');
    await until(async () => await readFile(join(await folderOf('env'), '.volumes/sec/password'), 'utf8') === 'plugh');
    state.remove(pods, 'default', 'env');
    await until(async () => (await readdir(join(lab.stateDir, 'pods'))).every((d) => !d.includes('env-uid')));
    expect((await readdir(join('/sys/fs/cgroup', 'memory', lab.netns)).catch(() => [])).filter((d) => d.startsWith('pod'))).toEqual([]);
  });

  it('start sidecars first and end them last', async () => {
    const volumeMounts = [{ name: 'data', mountPath: '/data' }];
    const note = (name: string): object => ({ ...sh(`trap 'echo ${name} >> /data/ended; exit 0' TERM; echo ${name} >> /data/begun; while :; do sleep 0.05; done`), volumeMounts });
    const hook = (script: string) => ({ exec: sh(script) });
    const dir = join(lab.stateDir, 'sidecars');
    const pod = testPod('led', {
      terminationGracePeriodSeconds: 10,
      volumes: [{ name: 'data', hostPath: { path: dir, type: 'DirectoryOrCreate' } }],
      initContainers: [
        testContainer('first', { ...note('first'), restartPolicy: 'Always', startupProbe: { exec: { command: ['test', '-s', '/data/begun'] }, periodSeconds: 1 }, lifecycle: { preStop: hook('echo hook >> /data/ended') } }),
        testContainer('init', { ...sh('echo init >> /data/begun'), volumeMounts }),
        testContainer('second', { ...note('second'), restartPolicy: 'Always' }),
      ],
      containers: [testContainer('app', { ...note('app'), readinessProbe: { ...hook('test ! -e /data/ended'), periodSeconds: 1, failureThreshold: 1 }, lifecycle: { postStart: hook('echo hook >> /data/begun'), preStop: hook('while ! test -e /data/seen; do sleep 0.05; done') } })],
    });
    state.set(pod);
    await until(async () => isReady('led') && (await readFile(join(dir, 'begun'), 'utf8')).includes('hook'));
    expect((await readFile(join(dir, 'begun'), 'utf8')).split('\n').slice(0, 3)).toEqual(['first', 'init', 'second']);
    state.set({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 30 } });
    // All hooks begin at once, and who serves no more while it waits for its own is not ready.
    await until(() => !isReady('led') && stateOf('led')?.state?.running !== undefined);
    await writeFile(join(dir, 'seen'), '');
    await until(() => manager.all().some((r) => r.gone));
    expect(await readFile(join(dir, 'ended'), 'utf8')).toBe('hook\napp\nsecond\nfirst\n');
  });

  it('are held to their limits', async () => {
    const volumeMounts = [{ name: 'v', mountPath: '/v' }];
    state.set(
      testPod('greedy', { volumes: [{ name: 'v', emptyDir: { sizeLimit: '100Ki' } }], containers: [testContainer('app', { ...sh('head -c 1000000 /dev/zero > /v/file; sleep 1000'), volumeMounts })] }),
      // Bounded: no more than 200 in any case.
      testPod('bomb', { restartPolicy: 'Never', containers: [testContainer('app', sh('i=0; while [ $i -lt 200 ]; do sleep 2 & i=$((i+1)); done; wait'))] }),
      testPod('shared', { volumes: [{ name: 'v', emptyDir: { medium: 'Memory' } }], containers: [testContainer('app', { volumeMounts, resources: { limits: { memory: '32Mi' } } })] }),
    );
    await until(() => ['greedy', 'bomb'].every((name) => statusOf(name)?.phase === 'Failed') && isReady('shared'));
    expect(statusOf('greedy')).toMatchObject({ reason: 'Evicted', message: 'Usage of EmptyDir volume "v" exceeds the limit "100Ki". ' });
    await until(async () => !(await readdir(join(lab.stateDir, 'pods', 'default_greedy_greedy-uid'))).includes('.volumes'));
    expect(await logs('bomb')).toMatch(/can't fork/);
    expect(await inside('shared', "busybox df -k /v | busybox awk 'END { print $2 }'")).toBe('32768\n');
  });

  it('of the example answer, and end at once when told to', async () => {
    const { command: _none, ...web } = testContainer('app', { readinessProbe: { httpGet: { port: 8080 }, periodSeconds: 1 } });
    const pod = testPod('hello', { containers: [web], terminationGracePeriodSeconds: 30 });
    state.set(pod);
    await until(() => statusOf('hello')?.phase === 'Running');
    await until(async () => (await inside('hello', 'wget -qO- http://127.0.0.1:8080/ 2>&1')).startsWith('Hello from hello'));
    const began = performance.now();
    state.set({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 30 } });
    await until(() => manager.all().some((r) => r.gone));
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(stateOf('hello')?.state?.terminated?.exitCode).toBe(0);
  });

  it('are restarted when they fail, and keep their last words', async () => {
    state.set(testPod('crash', { containers: [testContainer('app', sh('echo attempt; echo why > /dev/termination-log; exit 3'))] }));
    await until(() => stateOf('crash')?.state?.waiting?.reason === 'CrashLoopBackOff');
    expect(stateOf('crash')).toMatchObject({ restartCount: 1, lastState: { terminated: { exitCode: 3, reason: 'Error', message: 'why\n' } } });
    expect(await logs('crash', { previous: true })).toBe('attempt\n');
  });

  it('are killed and restarted by a liveness probe', async () => {
    state.set(testPod('sick', {
      terminationGracePeriodSeconds: 1,
      containers: [testContainer('app', { ...sh('touch /ok; sleep 1; rm -f /ok; exec sleep 1000'), livenessProbe: { exec: { command: ['test', '-e', '/ok'] }, periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 1 } })],
    }));
    await until(() => (stateOf('sick')?.restartCount ?? 0) >= 1);
    expect(events.map((e) => e.reason)).toEqual(expect.arrayContaining(['Unhealthy', 'Killing']));
  });

  it('end within their grace period, after their preStop hook', async () => {
    const pod = testPod('slow', { containers: [testContainer('app', { ...sh("trap 'echo term; exit 0' TERM; echo up; while :; do sleep 0.1; done"), lifecycle: { preStop: { exec: { command: ['sh', '-c', 'echo bye > /proc/1/fd/1'] } } } })] });
    state.set(pod);
    await until(() => isReady('slow'));
    const following = logs('slow', { follow: true });
    state.set({ ...pod, metadata: { ...pod.metadata, deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 20 } });
    await until(() => manager.all().some((r) => r.gone));
    expect(await following).toBe('up\nbye\nterm\n');
    expect(stateOf('slow')?.state?.terminated?.exitCode).toBe(0);
  });

  it('outlive the agent, and come back when everything is gone', async () => {
    const names = ['a', 'b', 'c'];
    state.set(...names.map((name): Pod => testPod(name)));
    await until(() => names.every(isReady));
    const before = names.map(idOf);
    await end();
    begin();
    await until(() => names.every(isReady));
    expect(names.map(idOf)).toEqual(before);

    await end();
    for (const { id } of (await lab.driver.list(AbortSignal.timeout(9000))).sandboxes) {
      await lab.driver.stopSandbox(id, AbortSignal.timeout(9000));
      await lab.driver.removeSandbox(id, AbortSignal.timeout(9000));
    }
    begin();
    await until(() => names.every(isReady));
    expect(names.map(idOf)).not.toEqual(before);
  });

  it('say that the disk is full, start once there is room, and can be deleted without', async () => {
    const dir = join(lab.stateDir, 'pods');
    await mkdir(dir, { recursive: true });
    await execOk('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', dir]);
    const fill = async (): Promise<void> => { await exec('dd', ['if=/dev/zero', `of=${dir}/filler`, 'bs=1k', 'count=512']); };
    try {
      await fill();
      state.set({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cfg', namespace: 'default' }, data: { a: 'x'.repeat(5000) } });
      const volumes = [{ name: 'cfg', configMap: { name: 'cfg' } }];
      state.set(testPod('tight', { volumes, containers: [testContainer('app', { volumeMounts: [{ name: 'cfg', mountPath: '/cfg' }] })] }), testPod('plain'));
      const says = (name: string): boolean => events.some((e) => e.name === name && e.type === 'Warning' && /no space left/.test(e.message));
      await until(() => says('tight') && says('plain'));
      await rm(join(dir, 'filler'));
      await until(() => isReady('tight') && isReady('plain'));
      await fill();
      for (const name of ['tight', 'plain']) state.remove(pods, 'default', name);
      await until(async () => (await lab.driver.list(stop.signal)).sandboxes.length === 0 && (await readdir(dir)).join() === 'filler');
    } finally {
      await execOk('umount', ['-l', dir]);
    }
  });

  it('survive a containerd that was killed and started again', async () => {
    state.set(testPod('tough'));
    await until(() => isReady('tough'));
    const before = idOf('tough');
    await lab.containerd.stop(stop.signal);
    await lab.containerd.ensure(stop.signal);
    state.set(testPod('later'));
    await until(() => isReady('later'));
    expect(idOf('tough')).toBe(before);
    expect(await inside('tough', 'echo alive')).toBe('alive\n');
  });
});
