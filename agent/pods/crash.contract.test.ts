import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Pod } from '#api/gen/types.ts';
import { openContainerdLab } from '#agent/runtimes/containerd/test-lab.ts';
import { openCtrLab } from '#agent/runtimes/ctr/test-lab.ts';
import { openDockerLab } from '#agent/runtimes/docker/test-lab.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import { helloImage } from '#install/images.ts';
import type { CrashOrder } from './crash-agent.ts';
import { placeOfCri, placeOfCtr, placeOfDocker, podInventory, podProcesses, type PodPlace } from './test-inventory.ts';
import { testContainer, testPod } from './testing.ts';

interface CrashLab {
  readonly runtime: CrashOrder['runtime'];
  readonly config: CrashOrder['driver'];
  readonly place: PodPlace;
  /** A driver that knows of what others did. */
  readonly connect: () => RuntimeDriver;
  readonly sampled: CrashOrder['sampled'];
  close(): Promise<void>;
}

const labs: Record<CrashOrder['runtime'], () => Promise<CrashLab>> = {
  cri: async () => {
    const lab = await openContainerdLab('10.77.2.0/24');
    const { stateDir, netns: owner, containerd: { endpoint } } = lab;
    return { runtime: 'cri', config: { endpoint, owner, stateDir, runDir: join(stateDir, 'run'), sandboxImage: '', cni: { confDir: '', binDirs: [] } }, place: placeOfCri(lab), connect: () => lab.connect(), sampled: { halves: 1, others: 6 }, close: () => lab.close() };
  },
  ctr: async () => {
    const lab = await openCtrLab();
    return { runtime: 'ctr', config: lab.config, place: placeOfCtr(lab), connect: () => lab.connect(), sampled: { halves: 1, others: 16 }, close: () => lab.close() };
  },
  docker: async () => {
    const lab = await openDockerLab();
    return { runtime: 'docker', config: lab.config, place: placeOfDocker(lab), connect: () => lab.connect(), sampled: { halves: 8, others: 64 }, close: () => lab.close() };
  },
};

/** A process starts three times as fast with what an earlier one compiled. */
const env = { ...process.env, NODE_COMPILE_CACHE: join(import.meta.dirname, '../../node_modules/.cache/compile') };
/** How often an agent is killed that has nothing to do; hundreds for the long form. */
const restarts = Number(process.env['CLEAT_TEST_RESTARTS'] ?? 2);
const patienceMs = 60_000;
/** How often each effect may kill. */
const mostDeaths = Number(process.env['CLEAT_TEST_DEATHS'] ?? 1);

describe.each(Object.entries(labs))('on %s', (_runtime, open) => {
  let lab: CrashLab;
  let stateDir: string;
  beforeAll(async () => {
    lab = await open();
    ({ stateDir } = lab.config);
  });
  afterAll(async () => { await lab.close(); });
  beforeEach(() => Promise.all(['deaths', 'ran'].map((name) => rm(join(stateDir, name), { recursive: true, force: true }))));

  /** Agents, one after the other, each killed at what it does first, until one has nothing left to do. Resolves with how many were killed. */
  async function live(pod: Pod | undefined, when: CrashOrder['when'], most = mostDeaths): Promise<number> {
    const [file, deathsFile] = [join(stateDir, 'order.json'), join(stateDir, 'deaths')];
    await writeFile(file, JSON.stringify({ runtime: lab.runtime, driver: lab.config, ...pod && { pod }, when, deathsFile, mostDeaths: most, sampled: lab.sampled } satisfies CrashOrder));
    await writeFile(deathsFile, '', { flag: 'a' });
    for (let killed = 0; ; killed++) {
      const agent = spawn(process.execPath, [fileURLToPath(new URL('./crash-agent.ts', import.meta.url)), file], { env, stdio: ['ignore', 'ignore', 'inherit'] });
      const late = setTimeout(() => { agent.kill('SIGTERM'); }, patienceMs);
      const [code, signal] = await once(agent, 'close') as [number | null, string | null];
      clearTimeout(late);
      if (code === 0) return killed;
      expect(signal).toBe('SIGKILL');
      expect(killed).toBeLessThan(400 * most);
    }
  }

  const limits = (memory: string): Pick<ReturnType<typeof testContainer>, 'resources'> => ({ resources: { limits: { cpu: '500m', memory } } });
  const sh = (script: string): Pick<ReturnType<typeof testContainer>, 'command'> => ({ command: ['sh', '-c', script] });
  function pod(memory = '64Mi', metadata: Pod['metadata'] = {}): Pod {
    const volumeMounts = [{ name: 'memory', mountPath: '/memory' }, { name: 'cfg', mountPath: '/cfg' }, { name: 'sec', mountPath: '/sec' }, { name: 'ran', mountPath: '/ran' }, { name: 'image', mountPath: '/image' }];
    const note = (name: string): string => `echo ${name} >> /ran/log`;
    return testPod('crash', {
      terminationGracePeriodSeconds: 1,
      volumes: [{ name: 'memory', emptyDir: { medium: 'Memory' } }, { name: 'cfg', configMap: { name: 'cfg' } }, { name: 'sec', secret: { secretName: 'sec' } }, { name: 'disk', emptyDir: {} }, { name: 'ran', hostPath: { path: join(stateDir, 'ran'), type: 'DirectoryOrCreate' } }, { name: 'image', image: { reference: helloImage } }],
      initContainers: [testContainer('init', { ...sh(note('init')), volumeMounts, ...limits(memory) }), testContainer('side', { ...sh(`${note('side')}; sleep 100000`), restartPolicy: 'Always', volumeMounts, ...limits(memory) })],
      containers: [testContainer('app', { ...sh(`${note('app')}; busybox nc -l -p 4242 -e cat & sleep 100000`), volumeMounts: [...volumeMounts, { name: 'disk', mountPath: '/sub', subPath: 'deep/er' }], ...limits(memory), lifecycle: { postStart: { exec: { command: ['true'] } } } })],
    }, metadata);
  }

  it.each(['during', 'after'] as const)('an agent that is killed %s each thing that it does runs a pod once, and leaves nothing of it behind', async (when) => {
    const before = await podInventory(lab.place);
    const begun = await live(pod(), when);
    const { sandboxes, containers } = await lab.connect().list(AbortSignal.timeout(10_000), 'crash-uid');
    expect(sandboxes.filter(({ state }) => state === 'ready')).toHaveLength(1);
    expect(containers.filter(({ state }) => state === 'running').map(({ name }) => name).sort()).toEqual(['app', 'side']);
    const resized = await live(pod('96Mi'), when);
    expect((await lab.connect().exec(containers.find(({ name, state }) => name === 'app' && state === 'running')?.id ?? '', ['sh', '-c', 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true'], 5000, AbortSignal.timeout(10_000))).output.trim()).toBe(String(96 << 20));
    const ran = (await readFile(join(stateDir, 'ran', 'log'), 'utf8')).trim().split('\n').sort();
    // A runtime whose caller is gone may take back a start, when the program has begun already: what it calls failed is started again.
    expect(when === 'after' ? ran : [...new Set(ran)]).toEqual(['app', 'init', 'side']);
    // In one case it has failed, and its end is asked for; in the other nobody knows of it any more.
    const failed = when === 'after' ? await live({ ...pod('96Mi'), status: { phase: 'Failed' } }, when) : 0;
    const ended = await live(when === 'after' ? pod('96Mi', { deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 1 }) : undefined, when);
    const deaths = (await readFile(join(stateDir, 'deaths'), 'utf8')).trim().split('\n');
    expect(deaths).toEqual(expect.arrayContaining(['runSandbox', 'createContainer', 'startContainer', 'updateContainer', 'stopContainer', 'removeSandbox', 'mountImage', 'releaseImage', ...when === 'after' ? ['stopSandbox'] : []]));
    expect(begun + resized + failed + ended).toBe(deaths.length);
    await expect.poll(() => podInventory(lab.place), { timeout: 30_000 }).toEqual(before);
  }, 600_000 * mostDeaths);

  it(`an agent that is killed ${String(restarts)} times beside a pod that runs leaves that alone, its connections too, and nothing else behind`, async () => {
    const before = await podInventory(lab.place);
    await live(pod(), 'settled', 1);
    // In no order.
    const containersOf = async (): Promise<unknown> => (await lab.connect().list(AbortSignal.timeout(10_000), 'crash-uid')).containers.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const { sandboxes } = await lab.connect().list(AbortSignal.timeout(10_000), 'crash-uid');
    const client = spawn('nsenter', [`--net=/run/netns/${lab.place.netns}`, 'busybox', 'nc', sandboxes[0]?.ips[0] ?? '', '4242'], { stdio: ['pipe', 'pipe', 'inherit'] });
    let heard = '';
    client.stdout.on('data', (chunk: Buffer) => { heard += chunk.toString(); });
    try {
      client.stdin.write('before\n');
      await expect.poll(() => heard, { timeout: 30_000 }).toBe('before\n');
      const [inventory, processes, containers] = await Promise.all([podInventory(lab.place), podProcesses(lab.place), containersOf()]);
      expect(await live(pod(), 'settled', 1 + restarts)).toBe(restarts);
      expect(await containersOf()).toEqual(containers);
      // What the last one was about when it was killed may still be ending.
      await expect.poll(() => podInventory(lab.place), { timeout: 30_000 }).toEqual(inventory);
      expect(await podProcesses(lab.place)).toEqual(processes);
      client.stdin.write('after\n');
      await expect.poll(() => heard, { timeout: 30_000 }).toBe('before\nafter\n');
    } finally {
      client.kill('SIGKILL');
    }
    await live(undefined, 'settled', 1);
    await expect.poll(() => podInventory(lab.place), { timeout: 30_000 }).toEqual(before);
  }, 120_000 + restarts * 10_000);
});
