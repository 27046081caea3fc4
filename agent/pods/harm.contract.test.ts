import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Pod, PodStatus } from '#api/gen/types.ts';
import { systemClock, type Clock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { openContainerdLab } from '#agent/runtimes/containerd/test-lab.ts';
import { openCtrLab } from '#agent/runtimes/ctr/test-lab.ts';
import { openDockerLab } from '#agent/runtimes/docker/test-lab.ts';
import { processCount } from '#agent/runtimes/cgroups.ts';
import { readPidFile } from '#agent/runtimes/process.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import { PodManager } from './manager.ts';
import { podCgroup } from './spec/sandbox-config.ts';
import { placeOfCri, placeOfCtr, placeOfDocker, podInventory, type PodPlace } from './test-inventory.ts';
import { MemoryState, testContainer, testPod } from './testing.ts';

/** How often a container that fails is restarted; hundreds for the long form. */
const restarts = Number(process.env['CLEAT_TEST_RESTARTS'] ?? 12);
const patience = { timeout: 90_000 + restarts * 2000, interval: 100 };
const podMaxPids = 50;
const calls = new Set(['runSandbox', 'createContainer', 'startContainer', 'stopContainer', 'stopSandbox', 'removeSandbox']);

interface HarmLab {
  readonly place: PodPlace;
  readonly connect: () => RuntimeDriver;
  /** Kills the runtime; somebody starts it again. */
  readonly kill: () => Promise<void>;
  close(): Promise<void>;
}

const labs: Record<string, () => Promise<HarmLab>> = {
  cri: async () => {
    const lab = await openContainerdLab('10.77.3.0/24');
    const stop = new AbortController();
    const keeping = lab.containerd.start(stop.signal);
    const close = async (): Promise<void> => {
      stop.abort();
      await keeping;
      await lab.close();
    };
    return { place: placeOfCri(lab), connect: () => lab.connect(), kill: async () => { kill((await readPidFile(lab.containerd.paths.pidFile))?.pid); }, close };
  },
  ctr: async () => {
    const lab = await openCtrLab();
    return { place: placeOfCtr(lab), connect: () => lab.connect(), kill: () => lab.host.killContainerd(), close: () => lab.close() };
  },
  docker: async () => {
    const lab = await openDockerLab();
    return { place: placeOfDocker(lab), connect: () => lab.connect(), kill: () => lab.killDocker(), close: () => lab.close() };
  },
};

const harms: Record<string, (lab: HarmLab) => Promise<void>> = {
  'the runtime': (lab) => lab.kill(),
  'its shim': ({ place }) => killAll(({ command }) => command.includes('containerd-shim') && command.includes(place.stateDir)),
  'all that runs in it': ({ place }) => killAll(({ command, cgroup }) => !command.includes('containerd-shim') && cgroup.includes(`/${place.netns}/`)),
};

async function killAll(matches: (process: { command: string; cgroup: string }) => boolean): Promise<void> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  await Promise.all(pids.map(async (pid) => {
    const [command = '', cgroup = ''] = await Promise.all(['cmdline', 'cgroup'].map((file) => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '')));
    if (matches({ command, cgroup })) kill(Number(pid));
  }));
}

/** Nobody when there is none: 0 would be this test and all beside it. */
function kill(pid: number | undefined): void {
  try {
    if (pid !== undefined && pid > 1) process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

/** Back-offs of minutes pass in moments; containers run as slowly as ever. */
function hurried(times: number): Clock {
  return {
    now: () => systemClock.now(), monotonic: () => systemClock.monotonic() * times,
    sleep: (ms, signal) => systemClock.sleep(ms / times, signal), after: (ms, fn) => systemClock.after(ms / times, fn),
  };
}

/** Once for each call: while it is under way. */
function harmed(driver: RuntimeDriver, harm: () => Promise<void>, done: Set<string>): RuntimeDriver {
  return new Proxy(driver, {
    get: (target, name: keyof RuntimeDriver) => {
      const value: unknown = target[name];
      if (typeof value !== 'function') return value;
      if (!calls.has(name)) return value.bind(target) as unknown;
      return async (...args: unknown[]): Promise<unknown> => {
        const call = Reflect.apply(value, target, args) as Promise<unknown>;
        if (done.has(name)) return call;
        done.add(name);
        const [answer] = await Promise.allSettled([call, harm()]);
        if (answer.status === 'rejected') throw answer.reason;
        return answer.value;
      };
    },
  });
}

/** One pod and an agent that looks after it. */
class Life {
  readonly #pod: Pod;
  readonly #state = new MemoryState();
  readonly #stop = new AbortController();
  readonly #running: Promise<unknown>;
  #gone = false;
  status: PodStatus | undefined;

  constructor({ place: { stateDir, netns } }: HarmLab, driver: RuntimeDriver, clock: Clock, pod: Pod) {
    this.#pod = pod;
    this.#state.set(pod);
    const manager = new PodManager({
      state: this.#state, driver, clock, log: silentLog, events: { emit: () => undefined },
      node: { hostIps: () => ['192.0.2.1'], allocatable: () => ({ cpuMillis: 2000, memoryBytes: 4 * 1024 ** 3 }), usage: () => Promise.resolve({ cpuMillis: 1, memoryBytes: 2, cpuSeconds: 3 }) },
    }, { nodeName: 'node', stateDir, cgroupRoot: `/${netns}`, clusterDomain: 'cluster.local', clusterDns: [], resolvConfPath: '/dev/null', allowedUnsafeSysctls: [], podMaxPids, parallelStarts: 4 });
    manager.subscribe((report) => {
      this.status = report.status;
      this.#gone ||= report.gone === true;
    });
    this.#running = manager.start(this.#stop.signal);
  }

  get isReady(): boolean { return this.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true; }

  async end(): Promise<void> {
    this.#state.set({ ...this.#pod, metadata: { ...this.#pod.metadata, deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 1 } });
    await expect.poll(() => this.#gone, patience).toBe(true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }
}

/** Without what containerd has of a task whose shim was killed: that it clears away itself, when it is next started. */
async function inventory({ place }: HarmLab): Promise<string[]> {
  return (await podInventory(place)).filter((line) => !line.includes('/io.containerd.runtime.v2.task/'));
}

async function outlives(lab: HarmLab, harm: () => Promise<void>): Promise<void> {
  const before = await inventory(lab);
  const done = new Set<string>();
  const volumeMounts = [{ name: 'memory', mountPath: '/memory' }];
  await using life = new Life(lab, harmed(lab.connect(), harm, done), hurried(100), testPod('harmed', { terminationGracePeriodSeconds: 1, volumes: [{ name: 'memory', emptyDir: { medium: 'Memory' } }], containers: [testContainer('app', { volumeMounts })] }));
  // What was killed may be taken for running and ready until the runtime has noticed.
  const live = async (): Promise<number> => (await lab.connect().list(AbortSignal.timeout(20_000))).containers.filter((c) => c.state === 'running').length;
  await expect.poll(async () => life.isReady && done.has('startContainer') && await live(), patience).toBe(1);
  await life.end();
  // What is dead already need not be stopped.
  expect([...done]).toEqual(expect.arrayContaining(['runSandbox', 'createContainer', 'startContainer', 'removeSandbox']));
  await expect.poll(() => inventory(lab), patience).toEqual(before);
}

let lab: HarmLab;
beforeAll(async () => { lab = await labs['cri']!(); });
afterAll(async () => { await lab.close(); });

async function outlivesAll(runtime: string): Promise<void> {
  const own = runtime === 'cri' ? lab : await labs[runtime]!();
  try {
    for (const [what, harm] of Object.entries(harms)) {
      // Docker takes half a minute to come back so often; test/e2e/docker.test.ts kills it once.
      if (runtime === 'docker' && what === 'the runtime' && restarts < 100) continue;
      await outlives(own, () => harm(own)).catch((error: unknown) => { throw new Error(`on ${runtime}, although ${what} was killed`, { cause: error }); });
    }
  } finally {
    if (own !== lab) await own.close();
  }
}

/** Beside each other: Docker waits for ten seconds before it finds out that what it was starting has ended. */
it('on each runtime a pod lives and dies although that, its shim or all that runs in it is killed at each call, and leaves nothing', async () => {
  const ends = await Promise.allSettled(Object.keys(labs).map(outlivesAll));
  expect(ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as Error] : []))).toEqual([]);
}, 900_000);

it('a pod that forks without end has no more processes than it may, and ends like any other', async () => {
  const before = await inventory(lab);
  await using life = new Life(lab, lab.connect(), hurried(100), testPod('bomb', { terminationGracePeriodSeconds: 1, containers: [testContainer('app', { command: ['sh', '-c', 'bomb() { bomb & bomb & exec sleep 100000; }; bomb & exec sleep 100000'] })] }));
  const count = (): Promise<number> => processCount(podCgroup(`/${lab.place.netns}`, 'bomb-uid'));
  await expect.poll(count, patience).toBeGreaterThan(podMaxPids / 2);
  expect(await count()).toBeLessThanOrEqual(podMaxPids);
  await expect.poll(() => life.isReady, patience).toBe(true);
  await life.end();
  await expect.poll(() => inventory(lab), patience).toEqual(before);
}, 300_000);

it(`a container that is restarted ${String(restarts)} times leaves no more behind than one that was restarted twice`, async () => {
  const before = await inventory(lab);
  await using life = new Life(lab, lab.connect(), hurried(10_000), testPod('restless', { terminationGracePeriodSeconds: 1, containers: [testContainer('app', { command: ['sh', '-c', 'echo again; exit 1'] })] }));
  const files = (): Promise<string[]> => readdir(join(lab.place.stateDir, 'pods', 'default_restless_restless-uid'), { recursive: true });
  await expect.poll(() => life.status?.containerStatuses?.[0]?.restartCount ?? 0, patience).toBeGreaterThanOrEqual(restarts);
  // Two attempts, and one that begins or is being removed.
  expect((await lab.connect().list(AbortSignal.timeout(20_000), 'restless-uid')).containers.length).toBeLessThanOrEqual(4);
  // Files of an attempt go after it.
  await expect.poll(async () => (await files()).filter((name) => /\d\.(log|termination)$/.test(name)).length, patience).toBeLessThanOrEqual(8);
  await life.end();
  await expect.poll(() => inventory(lab), patience).toEqual(before);
}, 120_000 + restarts * 3000);
