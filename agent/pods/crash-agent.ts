/**
 * The victim of crash.contract.test.ts: brings one pod to its goal, and is killed at the first call that changes
 * something in the runtime, of those that have not killed one before as often as they may: while the call is under way
 * (`during`) or when it has been answered (`after`). Ends by itself, with 0, when the pod is where it should be.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Pod } from '#api/gen/types.ts';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { CriDriver } from '#agent/runtimes/cri/driver.ts';
import { PodManager } from './manager.ts';
import { MemoryState } from './testing.ts';

const [endpoint = '', owner = '', stateDir = '', podFile = '', when = '', deathsFile = '', mostDeaths = '1'] = process.argv.slice(2);
const changing = new Set(['runSandbox', 'createContainer', 'startContainer', 'updateContainer', 'stopContainer', 'removeContainer', 'stopSandbox', 'removeSandbox']);
const longestMs = 60;

const deaths = readFileSync(deathsFile, 'utf8').split('\n');
const mayDie = (name: string): boolean => changing.has(name) && deaths.filter((earlier) => earlier === name).length < Number(mostDeaths);
const die = (name: string): void => {
  appendFileSync(deathsFile, `${name}\n`);
  process.kill(process.pid, 'SIGKILL');
};
const driver = new Proxy(new CriDriver({ clock: systemClock, log: silentLog }, { endpoint, owner }), {
  get: (target, name: keyof CriDriver) => {
    const value: unknown = target[name];
    if (typeof value !== 'function') return value;
    if (name === 'events') return value.bind(target) as unknown;
    return async (...args: unknown[]): Promise<unknown> => {
      if (!mayDie(name)) return Reflect.apply(value, target, args) as unknown;
      if (when === 'during') setTimeout(() => { die(name); }, Math.random() * longestMs);
      const answer: unknown = await Reflect.apply(value, target, args);
      die(name);
      return answer;
    };
  },
});

const pod = JSON.parse(await readFile(podFile, 'utf8')) as Pod;
const state = new MemoryState();
state.set({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'cfg', namespace: 'default' }, data: { file: 'content' } }, pod);
const manager = new PodManager({
  state, driver, clock: systemClock, log: silentLog, events: { emit: () => undefined },
  node: { hostIps: () => ['192.0.2.1'], allocatable: () => ({ cpuMillis: 2000, memoryBytes: 4 << 30 }), usage: () => Promise.resolve({ cpuMillis: 1, memoryBytes: 2, cpuSeconds: 3 }) },
}, { nodeName: 'node', stateDir, cgroupRoot: `/${owner}`, clusterDomain: 'cluster.local', clusterDns: [], resolvConfPath: '/dev/null', allowedUnsafeSysctls: [], parallelStarts: 4 });
manager.subscribe(({ status, gone }) => {
  const ready = status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true && status.conditions.every(({ type }) => !type.startsWith('PodResize'));
  const wantsMore = JSON.stringify(status.containerStatuses?.[0]?.resources?.limits) !== JSON.stringify(pod.spec?.containers[0]?.resources?.limits);
  if (gone || (pod.metadata?.deletionTimestamp === undefined && ready && !wantsMore)) process.exit(0);
});
await manager.start(new AbortController().signal);
