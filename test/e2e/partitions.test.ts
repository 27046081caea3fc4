import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Node, Pod } from '#api/gen/types.ts';
import { Cluster, leaveSoon } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';

const image = 'cleat-hello:1';
const policy = (words: Record<string, string>): Record<string, string> => Object.fromEntries(Object.entries(words).map(([key, value]) => [`cleat.dev/disconnect-${key}`, value]));

/** One host stays, one is cut off, dies and comes back; everything begins on the second. Real packets, real containers. */
describe('a host that disconnects', () => {
  let cluster: Cluster;
  let stays: LabHost;
  let leaves: LabHost;

  /** Notes every fifth of a second, on its host's disk, that it runs. */
  const spec = (name: string, more: object = {}): object => ({
    terminationGracePeriodSeconds: 1, ...more,
    affinity: { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference: { matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values: [leaves.name] }] } }] } },
    containers: [{ name: 'c', image, command: ['sh', '-c', `while true; do cat /proc/uptime >> /notes/${name}; sleep 0.2; done`], volumeMounts: [{ name: 'notes', mountPath: '/notes' }] }],
    volumes: [{ name: 'notes', hostPath: { path: '/var/notes', type: 'DirectoryOrCreate' } }],
  });
  const workload = (kind: string, name: string, words: Record<string, string>, more: object = {}): object => ({
    apiVersion: 'apps/v1', kind, metadata: { name },
    spec: { replicas: 1, ...(kind === 'StatefulSet' && { serviceName: name }), selector: { matchLabels: { app: name } }, template: { metadata: { labels: { app: name }, annotations: policy(words) }, spec: spec(name, more) } },
  });
  const podsOf = async (app: string): Promise<Pod[]> => (await cluster.json<{ items: Pod[] }>(['get', 'pods', '-l', `app=${app}`])).items;
  const isReady = (pod: Pod): boolean => pod.metadata?.deletionTimestamp === undefined && pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
  const uid = (pod: Pod | undefined): string => pod?.metadata?.uid ?? '';
  const waitFor = <T>(what: string, condition: () => Promise<T | false>, timeoutMs = 90_000): Promise<T> => eventually(condition, { what, timeoutMs, intervalMs: 200, explain: () => cluster.diagnostics() }) as Promise<T>;
  /** Resolves with the only pod of the app, when it is ready on that host. */
  const onlyOn = (app: string, host: LabHost): Promise<Pod> => waitFor(`${app} to run on ${host.name} alone`, async () => {
    const pods = await podsOf(app);
    const [pod] = pods;
    return pods.length === 1 && pod?.spec?.nodeName === host.name && isReady(pod) ? pod : false;
  });
  const readyOn = (app: string, host: LabHost): Promise<Pod> => waitFor(`a pod of ${app} to be ready on ${host.name}`, async () => (await podsOf(app)).find((pod) => pod.spec?.nodeName === host.name && isReady(pod)) ?? false);
  /** When, in seconds since the machine was booted, which all hosts share. */
  const notes = async (app: string, host: LabHost): Promise<number[]> => (await host.exec('cat', [`/var/notes/${app}`])).stdout.split('\n').filter(Boolean).map((line) => Number(line.split(' ')[0]));
  const containerOf = (pod: Pod | undefined): string => pod?.status?.containerStatuses?.[0]?.containerID?.replace('containerd://', '') ?? '';
  const before = new Map<string, Pod>();

  beforeAll(async () => {
    cluster = await Cluster.create({ agents: 2 });
    await cluster.importImage();
    [stays, leaves] = [cluster.agentHost(0), cluster.agentHost(1)];
    await cluster.apply([
      workload('Deployment', 'kept', { policy: 'keep' }),
      workload('Deployment', 'original', { 'policy': 'replace', 'replace-after': '1s', 'on-return': 'original' }),
      workload('Deployment', 'replacement', { 'policy': 'replace', 'replace-after': '1s' }),
      workload('Deployment', 'single', { 'policy': 'replace', 'replace-after': '12s', 'copies': 'one' }),
      workload('StatefulSet', 'ordinal', { 'policy': 'replace', 'replace-after': '12s' }),
      workload('StatefulSet', 'plain', {}, { tolerations: leaveSoon }),
    ]);
    for (const app of ['kept', 'original', 'replacement', 'single', 'ordinal', 'plain']) before.set(app, await onlyOn(app, leaves));
  });
  afterAll(async () => { await cluster?.destroy(); });

  it('is dealt with as each pod says', async () => {
    await leaves.disconnect();
    await Promise.all(['original', 'replacement'].map((app) => readyOn(app, stays)));
    const now = async (app: string): Promise<string[]> => (await podsOf(app)).map((pod) => `${pod.spec?.nodeName ?? ''} ${uid(pod) === uid(before.get(app)) ? 'old' : 'new'} ${pod.metadata?.deletionTimestamp === undefined ? 'stays' : 'ends'}`).sort();
    expect(await now('kept')).toEqual([`${leaves.name} old stays`]);
    expect(await now('original')).toEqual([`${stays.name} new stays`, `${leaves.name} old stays`].sort());
    expect(await now('replacement')).toEqual([`${stays.name} new stays`, `${leaves.name} old ends`].sort());
    // Kubernetes' way with a StatefulSet: nobody knows whether the old one still runs.
    await waitFor('the plain one to be ending', async () => (await now('plain')).join() === `${leaves.name} old ends`);
    await Promise.all(['single', 'ordinal'].map((app) => onlyOn(app, stays)));
    expect(await now('plain')).toEqual([`${leaves.name} old ends`]);
    // The host itself cannot be asked over the network; what it wrote down says who ran when.
    for (const app of ['single', 'ordinal']) {
      await waitFor('notes', async () => (await notes(app, stays)).length > 0);
      expect((await notes(app, leaves)).at(-1)).toBeLessThan((await notes(app, stays))[0]!);
    }
    expect(await cluster.runningContainers(leaves)).toEqual(expect.arrayContaining(['kept', 'original', 'replacement', 'plain'].map((app) => containerOf(before.get(app)))));
  });

  it('comes back: what should live lives, and in one place', async () => {
    const kept = ['kept', 'original'].map((app) => containerOf(before.get(app)));
    await leaves.reconnect();
    await cluster.waitForNodes();
    expect(uid(await onlyOn('kept', leaves))).toBe(uid(before.get('kept')));
    expect(uid(await onlyOn('original', leaves))).toBe(uid(before.get('original')));
    for (const app of ['replacement', 'single', 'ordinal']) await onlyOn(app, stays);
    await waitFor('the plain one to be made anew', async () => (await podsOf('plain')).some((pod) => isReady(pod) && uid(pod) !== uid(before.get('plain'))));
    const running = await cluster.runningContainers(leaves);
    expect(running).toEqual(expect.arrayContaining(kept));
    for (const app of ['replacement', 'single', 'ordinal', 'plain']) expect(running).not.toContain(containerOf(before.get(app)));
    for (const app of ['kept', 'original']) expect((await cluster.json<Pod>(['get', 'pod', before.get(app)?.metadata?.name ?? ''])).status?.containerStatuses?.[0]?.restartCount).toBe(0);
    for (const app of ['single', 'ordinal']) {
      expect((await notes(app, leaves)).at(-1)).toBeLessThan((await notes(app, stays))[0]!);
    }
  });

  it('is fenced when it has died: everything runs elsewhere at once, and it kills what it still has before anything else', async () => {
    const apps = ['kept', 'original'];
    const old = new Map(await Promise.all(apps.map(async (app): Promise<[string, Pod]> => [app, await onlyOn(app, leaves)])));
    await leaves.crash();
    // Three seconds ago it was heard; whoever pulled the plug knows better.
    const refused = await cluster.cleat(['node', 'fence', leaves.name]).catch((error: unknown) => String(error));
    expect(refused).toContain('is Ready, so its host was heard of a moment ago');
    expect(await cluster.cleat(['node', 'fence', leaves.name, '--force'])).toMatch(/fenced, \d+ pods? (is|are) being removed/);
    expect(await cluster.cleat(['node', 'fence', leaves.name])).toContain('is fenced already');
    for (const app of [...apps, 'plain']) expect(uid(await onlyOn(app, stays))).not.toBe(uid(old.get(app)));

    // It starts where nobody can tell it what has happened, and does what it was last told.
    await leaves.boot();
    await leaves.disconnect();
    const agent = cluster.startAgent(1);
    await waitFor('the old pods to run again on the fenced host', async () => (await cluster.runningContainers(leaves).catch(() => [])).length >= 2 * apps.length, 60_000);
    await leaves.reconnect();
    await cluster.waitForNodes();
    await waitFor('the fence to be lifted', async () => {
      const { metadata, spec } = await cluster.json<Node>(['get', 'node', leaves.name]);
      return metadata?.annotations?.['cleat.dev/fenced'] === undefined && (spec?.taints ?? []).length === 0;
    });
    // The agent says so once the control plane has sent everything, which may be after that node is well.
    await waitFor('the agent to be connected', async () => Promise.resolve(agent.output().includes('"connected to the control plane"')));
    const log = agent.output();
    expect(log.indexOf('this host was declared dead')).toBeGreaterThan(0);
    expect(log.indexOf('this host was declared dead')).toBeLessThan(log.indexOf('"connected to the control plane"'));
    expect(await cluster.runningContainers(leaves)).toEqual([]);
    for (const app of [...apps, 'plain']) await onlyOn(app, stays);
    expect(await cluster.kubectl(['get', 'events', '-A'])).toContain('FenceLifted');
  });
});
