import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { execOk } from '#common/exec.ts';
import { openContainerdLab, type ContainerdLab } from '#agent/runtimes/containerd/test-lab.ts';
import { testContainer, testPod } from './testing.ts';

let lab: ContainerdLab;
beforeAll(async () => { lab = await openContainerdLab('10.77.2.0/24'); });
afterAll(async () => { await lab.close(); });

const patienceMs = 60_000;
/** How often each call may kill. */
const mostDeaths = 1;

/** Agents, one after the other, each killed at what it does first, until one has nothing left to do. Resolves with how many were killed. */
async function live(pod: Pod, when: 'during' | 'after'): Promise<number> {
  const [file, deaths] = [join(lab.stateDir, 'pod.json'), join(lab.stateDir, 'deaths')];
  await writeFile(file, JSON.stringify(pod));
  await writeFile(deaths, '', { flag: 'a' });
  for (let killed = 0; ; killed++) {
    const agent = spawn(process.execPath, [fileURLToPath(new URL('./crash-agent.ts', import.meta.url)), lab.containerd.endpoint, lab.netns, lab.stateDir, file, when, deaths, String(mostDeaths)], { stdio: ['ignore', 'ignore', 'inherit'] });
    const late = setTimeout(() => { agent.kill('SIGTERM'); }, patienceMs);
    const [code, signal] = await once(agent, 'close') as [number | null, string | null];
    clearTimeout(late);
    if (code === 0) return killed;
    expect(signal).toBe('SIGKILL');
    expect(killed).toBeLessThan(30);
  }
}

async function inventory(): Promise<string[]> {
  const ctr = (...args: string[]): Promise<string> => execOk('ctr', ['-a', lab.containerd.endpoint, '-n', 'k8s.io', ...args]);
  const cgroups = async (folder: string): Promise<string[]> => (await readdir(folder, { recursive: true }).catch(() => [])).filter((name) => name.includes('/pod') || name.startsWith('pod')).filter((name) => name.includes('crash'));
  const lines = async (title: string, text: Promise<string>): Promise<string[]> => (await text).split('\n').filter(Boolean).map((line) => `${title}: ${line}`);
  const mounts = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').map((line) => line.split(' ')[4] ?? '').filter((path) => path.startsWith(lab.stateDir)).map((path) => `mount: ${path}`);
  const leases = (await readdir(join(lab.stateDir, 'cni', 'data', 'lab')).catch(() => [])).filter((name) => /^\d/.test(name)).map((name) => `address: ${name}`);
  const pods = (await readdir(join(lab.stateDir, 'pods')).catch(() => [])).map((name) => `files: ${name}`);
  const hierarchies = (await readdir('/sys/fs/cgroup')).map((name) => join('/sys/fs/cgroup', name, lab.netns));
  const groups = (await Promise.all(hierarchies.map(cgroups))).flat().map((name) => `cgroup: ${name}`);
  const snapshots = (await ctr('snapshots', '--snapshotter', lab.containerd.snapshotter, 'ls')).split('\n').filter((line) => line.includes('Active')).map((line) => `snapshot: ${line}`);
  // The lab's bridge comes with its first pod.
  const links = (await lines('link', execOk('ip', ['-n', lab.netns, '-o', 'link']).then((text) => text.replaceAll(/^\d+: ([^:@]+).*$/gm, '$1')))).filter((line) => !line.endsWith(' cni0'));
  return [...mounts, ...leases, ...pods, ...groups, ...snapshots, ...links, ...await lines('container', ctr('containers', 'ls', '-q')), ...await lines('task', ctr('tasks', 'ls', '-q'))].sort();
}

const limits = (memory: string): Pick<ReturnType<typeof testContainer>, 'resources'> => ({ resources: { limits: { cpu: '500m', memory } } });
function pod(memory = '64Mi', metadata: Pod['metadata'] = {}): Pod {
  const volumeMounts = [{ name: 'memory', mountPath: '/memory' }, { name: 'cfg', mountPath: '/cfg' }, { name: 'disk', mountPath: '/sub', subPath: 'deep/er' }];
  return testPod('crash', {
    terminationGracePeriodSeconds: 1,
    volumes: [{ name: 'memory', emptyDir: { medium: 'Memory' } }, { name: 'cfg', configMap: { name: 'cfg' } }, { name: 'disk', emptyDir: {} }],
    initContainers: [testContainer('init', { command: ['true'], volumeMounts, ...limits(memory) }), testContainer('side', { restartPolicy: 'Always', volumeMounts, ...limits(memory) })],
    containers: [testContainer('app', { volumeMounts, ...limits(memory), lifecycle: { postStart: { exec: { command: ['true'] } } } })],
  }, metadata);
}

it.each(['during', 'after'] as const)('an agent that is killed %s each thing that it does leaves nothing of a pod behind', async (when) => {
  await rm(join(lab.stateDir, 'deaths'), { force: true });
  const before = await inventory();
  const begun = await live(pod(), when);
  const { sandboxes, containers } = await lab.driver.list(AbortSignal.timeout(10_000), 'crash-uid');
  expect(sandboxes.filter(({ state }) => state === 'ready')).toHaveLength(1);
  expect(containers.filter(({ state }) => state === 'running').map(({ name }) => name).sort()).toEqual(['app', 'side']);
  const resized = await live(pod('96Mi'), when);
  expect((await lab.driver.exec(containers.find(({ name, state }) => name === 'app' && state === 'running')?.id ?? '', ['sh', '-c', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true'], 5000, AbortSignal.timeout(10_000))).output.trim()).toBe(String(96 << 20));
  const ended = await live(pod('96Mi', { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 1 }), when);
  const calls = (await readFile(join(lab.stateDir, 'deaths'), 'utf8')).trim().split('\n');
  expect(calls).toEqual(expect.arrayContaining(['runSandbox', 'createContainer', 'startContainer', 'updateContainer', 'stopContainer', 'stopSandbox', 'removeSandbox']));
  expect(begun + resized + ended).toBe(calls.length);
  expect(await inventory()).toEqual(before);
});
