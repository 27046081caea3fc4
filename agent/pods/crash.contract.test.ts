import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { openContainerdLab, type ContainerdLab } from '#agent/runtimes/containerd/test-lab.ts';
import { podInventory } from './test-inventory.ts';
import { testContainer, testPod } from './testing.ts';

let lab: ContainerdLab;
beforeAll(async () => { lab = await openContainerdLab('10.77.2.0/24'); });
afterAll(async () => { await lab.close(); });

/** A process starts three times as fast with what an earlier one compiled. */
const env = { ...process.env, NODE_COMPILE_CACHE: join(import.meta.dirname, '../../node_modules/.cache/compile') };
/** How often an agent is killed that has nothing to do; hundreds for the long form. */
const restarts = Number(process.env['CLEAT_TEST_RESTARTS'] ?? 3);
const patienceMs = 60_000;
/** How often each effect may kill. */
const mostDeaths = Number(process.env['CLEAT_TEST_DEATHS'] ?? 1);

/** Agents, one after the other, each killed at what it does first, until one has nothing left to do. Resolves with how many were killed. */
async function live(pod: Pod | undefined, when: 'during' | 'after' | 'settled', most = mostDeaths): Promise<number> {
  const [file, deaths] = [join(lab.stateDir, 'pod.json'), join(lab.stateDir, 'deaths')];
  if (pod) await writeFile(file, JSON.stringify(pod));
  await writeFile(deaths, '', { flag: 'a' });
  for (let killed = 0; ; killed++) {
    const agent = spawn(process.execPath, [fileURLToPath(new URL('./crash-agent.ts', import.meta.url)), lab.containerd.endpoint, lab.netns, lab.stateDir, pod ? file : 'removed', when, deaths, String(most)], { env, stdio: ['ignore', 'ignore', 'inherit'] });
    const late = setTimeout(() => { agent.kill('SIGTERM'); }, patienceMs);
    const [code, signal] = await once(agent, 'close') as [number | null, string | null];
    clearTimeout(late);
    if (code === 0) return killed;
    expect(signal).toBe('SIGKILL');
    expect(killed).toBeLessThan(200 * most);
  }
}

const limits = (memory: string): Pick<ReturnType<typeof testContainer>, 'resources'> => ({ resources: { limits: { cpu: '500m', memory } } });
const sh = (script: string): Pick<ReturnType<typeof testContainer>, 'command'> => ({ command: ['sh', '-c', script] });
function pod(memory = '64Mi', metadata: Pod['metadata'] = {}): Pod {
  const volumeMounts = [{ name: 'memory', mountPath: '/memory' }, { name: 'cfg', mountPath: '/cfg' }, { name: 'disk', mountPath: '/sub', subPath: 'deep/er' }, { name: 'ran', mountPath: '/ran' }];
  const note = (name: string): string => `echo ${name} >> /ran/log`;
  return testPod('crash', {
    terminationGracePeriodSeconds: 1,
    volumes: [{ name: 'memory', emptyDir: { medium: 'Memory' } }, { name: 'cfg', configMap: { name: 'cfg' } }, { name: 'disk', emptyDir: {} }, { name: 'ran', hostPath: { path: join(lab.stateDir, 'ran'), type: 'DirectoryOrCreate' } }],
    initContainers: [testContainer('init', { ...sh(note('init')), volumeMounts, ...limits(memory) }), testContainer('side', { ...sh(`${note('side')}; sleep 100000`), restartPolicy: 'Always', volumeMounts, ...limits(memory) })],
    containers: [testContainer('app', { ...sh(`${note('app')}; sleep 100000`), volumeMounts, ...limits(memory), lifecycle: { postStart: { exec: { command: ['true'] } } } })],
  }, metadata);
}

it.each(['during', 'after'] as const)('an agent that is killed %s each thing that it does runs a pod once, and leaves nothing of it behind', async (when) => {
  await Promise.all(['deaths', 'ran'].map((name) => rm(join(lab.stateDir, name), { recursive: true, force: true })));
  const before = await podInventory(lab);
  const begun = await live(pod(), when);
  const { sandboxes, containers } = await lab.driver.list(AbortSignal.timeout(10_000), 'crash-uid');
  expect(sandboxes.filter(({ state }) => state === 'ready')).toHaveLength(1);
  expect(containers.filter(({ state }) => state === 'running').map(({ name }) => name).sort()).toEqual(['app', 'side']);
  const resized = await live(pod('96Mi'), when);
  expect((await lab.driver.exec(containers.find(({ name, state }) => name === 'app' && state === 'running')?.id ?? '', ['sh', '-c', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true'], 5000, AbortSignal.timeout(10_000))).output.trim()).toBe(String(96 << 20));
  const ran = (await readFile(join(lab.stateDir, 'ran', 'log'), 'utf8')).trim().split('\n').sort();
  // A runtime whose caller is gone may take back a start, when the program has begun already: what it calls failed is started again.
  expect(when === 'after' ? ran : [...new Set(ran)]).toEqual(['app', 'init', 'side']);
  // In one case its end is asked for, in the other nobody knows of it any more.
  const ended = await live(when === 'after' ? pod('96Mi', { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 1 }) : undefined, when);
  const deaths = (await readFile(join(lab.stateDir, 'deaths'), 'utf8')).trim().split('\n');
  expect(deaths).toEqual(expect.arrayContaining(['runSandbox', 'createContainer', 'startContainer', 'updateContainer', 'stopContainer', 'stopSandbox', 'removeSandbox']));
  expect(begun + resized + ended).toBe(deaths.length);
  await expect.poll(() => podInventory(lab), { timeout: 30_000 }).toEqual(before);
}, 600_000 * mostDeaths);

it(`an agent that is killed ${String(restarts)} times beside a pod that runs leaves that alone, and nothing else behind`, async () => {
  await Promise.all(['deaths', 'ran'].map((name) => rm(join(lab.stateDir, name), { recursive: true, force: true })));
  const before = await podInventory(lab);
  await live(pod(), 'settled', 1);
  const [inventory, { containers }] = await Promise.all([podInventory(lab), lab.driver.list(AbortSignal.timeout(10_000), 'crash-uid')]);
  expect(await live(pod(), 'settled', 1 + restarts)).toBe(restarts);
  expect((await lab.driver.list(AbortSignal.timeout(10_000), 'crash-uid')).containers).toEqual(containers);
  expect(await podInventory(lab)).toEqual(inventory);
  await live(undefined, 'settled', 1);
  await expect.poll(() => podInventory(lab), { timeout: 30_000 }).toEqual(before);
}, 120_000 + restarts * 10_000);
