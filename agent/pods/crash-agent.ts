/**
 * The victim of crash.contract.test.ts: an agent that brings one pod to its goal, and is killed at the first thing that
 * it does to its host or its runtime, of those that have not killed one before as often as they may: while it is under
 * way (`during`: half a file, a command that runs on, a call without an answer) or when it is done (`after`); or else only when the pod is where it
 * should be (`settled`). Ends by itself, with 0, when it is and nothing is left to die of.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { ConfigMap, Pod, PodStatus, Secret } from '#api/gen/types.ts';
import { configMaps, pods, secrets } from '#api/kinds/resources.ts';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import type { CtrConfig } from '#agent/runtimes/ctr/driver.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import { CheckpointStore } from '#agent/state/checkpoint.ts';
import { PodManager } from './manager.ts';
import { watchEffects, type Effect } from './test-boundaries.ts';
import { MemoryVolumes } from './volumes/secret-volumes.ts';

export interface CrashOrder {
  readonly runtime: 'cri' | 'ctr' | 'docker';
  readonly driver: CtrConfig;
  /** Absent when nobody wants one any more. */
  readonly pod?: Pod;
  readonly when: 'during' | 'after' | 'settled';
  /** What has killed an agent so far, a line each. */
  readonly deathsFile: string;
  readonly mostDeaths: number;
  /** Once is for the suite: of that which is no call, one of so many kills: of files that are half written, and of all else. */
  readonly sampled: { readonly halves: number; readonly others: number };
}

const { runtime, driver: config, pod, when, deathsFile, mostDeaths, sampled } = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as CrashOrder;
const { stateDir, owner } = config;
const calls = new Set(['runSandbox', 'createContainer', 'startContainer', 'updateContainer', 'stopContainer', 'removeContainer', 'stopSandbox', 'removeSandbox', 'mountImage', 'releaseImage']);
const longestMs = 60;

const deaths = readFileSync(deathsFile, 'utf8').split('\n');
const mayDie = (name: string): boolean => deaths.filter((earlier) => earlier === name).length < mostDeaths;
const die = (name: string): void => {
  appendFileSync(deathsFile, `${name}\n`);
  process.kill(process.pid, 'SIGKILL');
};
/** A moment that is another for each call, and the same in each run. */
const momentOf = (name: string): number => crc32(name) % longestMs;

async function around<T>({ name, half }: Effect, proceed: () => Promise<T>): Promise<T> {
  // Calls die both ways, some of what is written half written, and some of all else when it is done; all of it, both ways, in the long form.
  const chosen = half === undefined ? when === 'after' && crc32(name) % sampled.others === 0 : when === 'during' && crc32(name) % sampled.halves === 0;
  const spared = mostDeaths === 1 && !calls.has(name) && !chosen;
  if (when === 'settled' || spared || !mayDie(name)) return proceed();
  if (when === 'during' && half) {
    await half();
    die(name);
  }
  const done = proceed();
  if (when === 'during') {
    if (calls.has(name)) setTimeout(() => { die(name); }, momentOf(name));
    else die(name);
  }
  const result = await done;
  die(name);
  return result;
}

const deps = { clock: systemClock, log: silentLog };
const open: Record<CrashOrder['runtime'], () => Promise<RuntimeDriver>> = {
  cri: async () => new (await import('#agent/runtimes/cri/driver.ts')).CriDriver(deps, config),
  ctr: async () => new (await import('#agent/runtimes/ctr/driver.ts')).CtrDriver(deps, config),
  docker: async () => new (await import('#agent/runtimes/docker/driver.ts')).DockerDriver(deps, config),
};
const opened = await open[runtime]();
const driver = new Proxy(opened, {
  get: (target, name: keyof RuntimeDriver) => {
    const value: unknown = target[name];
    if (typeof value !== 'function') return value;
    if (!calls.has(name)) return value.bind(target) as unknown;
    return (...args: unknown[]): Promise<unknown> => around({ name }, () => Reflect.apply(value, target, args) as Promise<unknown>);
  },
});

await watchEffects(stateDir, around);

const state = await CheckpointStore.open({ log: silentLog }, { folder: join(stateDir, 'agent', 'checkpoint') });
const configMap: ConfigMap = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cfg', namespace: 'default' }, data: { file: 'content' } };
const secret: Secret = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'sec', namespace: 'default' }, data: { file: Buffer.from('secret').toString('base64') } };
await state.complete([{ resource: configMaps, object: configMap }, { resource: secrets, object: secret }, ...pod ? [{ resource: pods, object: pod }] : []], 1);
const manager = new PodManager({
  state, secretVolumes: new MemoryVolumes({ seal: state.seal, log: silentLog }), driver, clock: systemClock, log: silentLog, events: { emit: () => undefined },
  node: { hostIps: () => ['192.0.2.1'], allocatable: () => ({ cpuMillis: 2000, memoryBytes: 4 * 1024 ** 3 }), usage: () => Promise.resolve({ cpuMillis: 1, memoryBytes: 2, cpuSeconds: 3 }) },
}, { nodeName: 'node', stateDir, podLogsDir: join(stateDir, 'log/pods'), cgroupRoot: `/${owner}`, clusterDomain: 'cluster.local', clusterDns: [], resolvConfPath: '/dev/null', allowedUnsafeSysctls: [], podMaxPids: 50, parallelStarts: 4 });

// One that has failed is where it should be when it has given back what it had of the host, of which nothing is told.
const hasFailed = pod?.status?.phase === 'Failed';
function isReached(status: PodStatus): boolean {
  const ready = status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true && status.conditions.every(({ type }) => !type.startsWith('PodResize'));
  const wantsMore = JSON.stringify(status.containerStatuses?.[0]?.resources?.limits) !== JSON.stringify(pod?.spec?.containers[0]?.resources?.limits);
  return ready && !wantsMore;
}
const over = new AbortController();
manager.subscribe(({ status, gone }) => {
  if (!gone && (!pod || hasFailed || pod.metadata?.deletionTimestamp !== undefined || !isReached(status))) return;
  if (when === 'settled' && mayDie(when)) die(when);
  over.abort();
});
const running = manager.start(over.signal);
while ((!pod || hasFailed) && !over.signal.aborted) {
  const { sandboxes, containers } = await driver.list(AbortSignal.timeout(10_000));
  const left = await readdir(join(stateDir, 'pods'));
  if (hasFailed ? sandboxes.every(({ state: now }) => now === 'not-ready') && !left.some((folder) => existsSync(join(stateDir, 'pods', folder, '.volumes'))) : sandboxes.length + containers.length + left.length === 0) over.abort();
  else await systemClock.sleep(20, AbortSignal.timeout(10_000));
}
await running;
process.exit(0);
