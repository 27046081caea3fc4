import { writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Event, Pod } from '#api/gen/types.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';

/** A host whose state, containers included, is on a small disk of its own, and all that such a disk can do to it. */
describe('an agent whose disk', () => {
  let cluster: Cluster;
  const stateDir = '/var/lib/cleat';
  const image = '/var/lib/small.img';
  const mountDisk = (host: LabHost): Promise<string> => host.sh(`mount -o loop,errors=remount-ro ${image} ${stateDir}`);
  const host = (): LabHost => cluster.agentHost(0);
  const sh = (script: string): Promise<string> => host().sh(script);

  beforeAll(async () => {
    cluster = await Cluster.create({
      // Pods are not to be evicted: what they do on a disk that is full is the question.
      agents: 1, agentFlags: ['--eviction-hard=memory.available<1Mi', '--image-gc-high-threshold=100', '--eviction-pressure-transition-period=0s'],
      prepareHost: async (prepared) => {
        if (prepared.name === 'host0') return;
        await prepared.sh(`truncate -s 300M ${image}; mkfs.ext4 -q -N 6000 ${image}`);
        await mountDisk(prepared);
      },
    });
    await cluster.importImage();
    await cluster.apply(pod('steady'));
    await until('steady', isReady);
  });
  afterAll(async () => { await cluster?.destroy(); });

  const pod = (name: string): Pod => ({
    apiVersion: 'v1', kind: 'Pod', metadata: { name },
    spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image: 'cleat-hello:1', volumeMounts: [{ name: 'v', mountPath: '/v' }] }], volumes: [{ name: 'v', emptyDir: {} }] },
  });
  const get = (name: string): Promise<Pod> => cluster.json<Pod>(['get', 'pod', name]);
  const isReady = (p: Pod): boolean => p.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') === true;
  const wait = { timeoutMs: 120_000, intervalMs: 200, explain: () => cluster.diagnostics() };
  const until = (name: string, condition: (p: Pod) => boolean): Promise<Pod> => eventually(async () => { const found = await get(name); return condition(found) && found; }, { what: `pod ${name}`, ...wait });
  const hasWarned = async (name: string, words: RegExp): Promise<boolean> => (await cluster.json<{ items: Event[] }>(['get', 'events', '-A', '--field-selector', `involvedObject.name=${name},type=Warning`])).items.some((e) => words.test(e.message ?? ''));
  const identity = async (): Promise<unknown> => { const { metadata, status } = await get('steady'); return [metadata?.uid, status?.containerStatuses?.[0]?.containerID, status?.containerStatuses?.[0]?.restartCount]; };
  const restartAgent = async (): Promise<void> => {
    await cluster.stopAgent(0, 'SIGKILL');
    cluster.startAgent(0);
    await cluster.agent(0)?.waitForOutput('connected to the control plane', 90_000);
  };

  it.each([
    ['has no space left', `dd if=/dev/zero of=${stateDir}/filler bs=1M 2>/dev/null || true; dd if=/dev/zero of=${stateDir}/filler2 bs=1k 2>/dev/null || true`],
    ['has no inodes left', `mkdir ${stateDir}/filler; cd ${stateDir}/filler; seq 6000 | xargs touch 2>/dev/null || true`],
  ])('%s, starts all the same, keeps pods, tells of new ones what they lack, and goes on when there is room', async (_what, fill) => {
    const before = await identity();
    await sh(fill);
    await restartAgent();
    await cluster.apply(pod('late'));
    // What the agent sets aside for itself may be enough for a pod.
    await eventually(async () => isReady(await get('late')) || await hasWarned('late', /no space left on device/i), { what: 'the new pod, or what it lacks', ...wait });
    expect(await identity()).toEqual(before);
    await sh(`rm -rf ${stateDir}/filler*`);
    await until('late', isReady);
    await sh(fill);
    await cluster.kubectl(['delete', 'pod', 'late', '--wait=false']);
    await restartAgent();
    await sh(`rm -rf ${stateDir}/filler*`);
    await eventually(async () => (await cluster.runningContainers(host())).length === 2, { what: 'the pod to be gone', ...wait });
    await cluster.kubectl(['wait', '--for=delete', 'pod/late', '--timeout=60s']);
    expect(await identity()).toEqual(before);
  });

  it('turned read-only starts all the same and keeps pods, and all is well when the host comes up with a disk that was mended', async () => {
    const before = await identity();
    const device = basename((await sh(`findmnt -no SOURCE ${stateDir}`)).trim());
    // As after an error of the medium: what is open is refused, too.
    await writeFile(`/sys/fs/ext4/${device}/trigger_fs_error`, '1');
    expect((await host().exec('touch', [`${stateDir}/x`])).stderr).toMatch(/Read-only/);
    await restartAgent();
    await cluster.apply(pod('late'));
    // It cannot be kept in mind there, so it is not begun, and the cluster knows why.
    await eventually(() => hasWarned(host().name, /cannot write the checkpoint .* read-only file system/), { what: 'what the host lacks', ...wait });
    expect(await identity()).toEqual(before);
    await host().crash();
    await host().boot();
    await sh(`e2fsck -p ${image} || [ $? -le 1 ]`);
    await mountDisk(host());
    cluster.startAgent(0);
    for (const name of ['steady', 'late']) await until(name, isReady);
    expect((await get('steady')).status?.containerStatuses?.[0]?.restartCount).toBe(1);
  });
});
