import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Level } from 'level';
import type { Deployment, Node, Pod } from '#api/gen/types.ts';
import { FleetCluster } from '../fleet-cluster.ts';
import type { Row, RunOptions } from '../row.ts';

const hosts = 300;
/** One of each zone is lost: from a single zone hosts are emptied one by one, so that a dead switch moves little. */
const lostHosts = 30;
const replicas = 3000;
const deploymentsPath = '/apis/apps/v1/namespaces/default/deployments';
const pods = '/api/v1/namespaces/default/pods';
const mb = 1024 * 1024;
/** A host counts as lost after the silence that is the default. Its pods go at once then: what is measured is the replacing, not the waiting. */
const graceMs = 40_000;
const flags = ['--default-unreachable-toleration-seconds=0', '--default-not-ready-toleration-seconds=0'];
/** History is kept for five minutes, and what those left for five more: only then nothing is left to be written. */
const settleMs = 660_000;
/** A pod is created, bound and runs; at its end it is marked, has ended, and goes. */
const writesEachWay = 3;

/** A Deployment of 3,000 pods on 300 hosts that are simulated by another process, from its creation to its removal; about sixteen minutes, of which eleven go by at rest. */
export async function* run({ quick, executable }: RunOptions): AsyncGenerator<Row> {
  const perSecond = await synced(500);
  const cluster = await FleetCluster.start(await executable(), flags);
  try {
    const lose = await joined(cluster);
    const start = await measured(cluster, () => apply(cluster));
    yield row('applied → all Running', start, perSecond, replicas * writesEachWay);
    yield* await rest(cluster, quick);
    const lost = await measured(cluster, async () => { lose(); await replaced(cluster); });
    yield row(`${String(lostHosts)} hosts lost → all replaced`, lost, perSecond, 0, { name: 'the silence after which a host counts as lost', value: graceMs / 1000 });
    const rollout = await measured(cluster, () => roll(cluster));
    yield row('rolling update of all', rollout, perSecond, replicas * writesEachWay * 2);
    const removal = await measured(cluster, () => remove(cluster));
    yield row('removal of all', removal, perSecond, replicas * writesEachWay);
    yield { name: 'fleet: memory (RSS) at most, in all this', unit: 'MB', value: round(cluster.peakBytes() / mb), budget: { at: 'most', of: 'value', bound: 800 } };
  } finally {
    await cluster.stop();
  }
}

interface Measured { readonly seconds: number; readonly cpuSeconds: number; readonly writtenMb: number }

async function measured(cluster: FleetCluster, work: () => Promise<void>): Promise<Measured> {
  const [before, began] = [cluster.usage(), performance.now()];
  await work();
  const after = cluster.usage();
  return { seconds: (performance.now() - began) / 1000, cpuSeconds: (after.cpuMs - before.cpuMs) / 1000, writtenMb: (after.writtenBytes - before.writtenBytes) / mb };
}

function row(what: string, { seconds, cpuSeconds, writtenMb }: Measured, perSecond: number, writes: number, peer = { name: `${String(writes)} synced LevelDB writes of a pod, 64 at a time`, value: round(writes / perSecond) }): Row {
  return { name: `fleet: ${what}, ${replicas.toLocaleString('en')} pods on ${String(hosts)} hosts`, unit: 's', value: round(seconds), peer, note: `${String(round(cpuSeconds))} s of CPU of the control plane, ${String(round(writtenMb))} MB written` };
}

async function joined(cluster: FleetCluster): Promise<() => void> {
  await cluster.connect(hosts - lostHosts, 0, lostHosts);
  const lose = await cluster.connect(lostHosts, hosts - lostHosts, lostHosts);
  await cluster.until('all nodes', async () => (await cluster.client.json<{ items: Node[] }>('GET', '/api/v1/nodes')).items.filter(({ spec }) => spec?.podCIDR !== undefined && (spec.taints ?? []).length === 0).length === hosts);
  return lose;
}

const deployment = (version: string): Deployment => ({
  apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' },
  spec: {
    replicas, selector: { matchLabels: { app: 'web' } },
    template: { metadata: { labels: { app: 'web' } }, spec: { terminationGracePeriodSeconds: 1, containers: [{ name: 'web', image: 'registry.example/web:1', env: [{ name: 'VERSION', value: version }], ports: [{ containerPort: 80 }], resources: { requests: { cpu: '10m', memory: '16Mi' } } }] } },
  },
});

/** With a Service in front of it, as nearly every Deployment has. */
async function apply(cluster: FleetCluster): Promise<void> {
  await cluster.client.json('POST', '/api/v1/namespaces/default/services', { metadata: { name: 'web' }, spec: { selector: { app: 'web' }, ports: [{ port: 80 }] } });
  await cluster.client.json('POST', deploymentsPath, deployment('one'));
  await available(cluster);
  const all = (await cluster.client.json<{ items: Pod[] }>('GET', pods)).items;
  if (all.some(({ status }) => status?.phase !== 'Running')) throw new Error('the Deployment is available, but not all of its pods run');
}

/** Every pod of the newest template is available, and none of another is left: what `kubectl rollout status` waits for. */
async function available(cluster: FleetCluster): Promise<void> {
  await cluster.until('the Deployment', async () => {
    const { metadata, status } = await cluster.client.json<Deployment>('GET', `${deploymentsPath}/web`);
    return status?.observedGeneration === metadata?.generation && [status?.replicas, status?.updatedReplicas, status?.availableReplicas].every((count) => count === replicas);
  });
}

async function replaced(cluster: FleetCluster): Promise<void> {
  await cluster.until('the loss to be noticed', async () => ((await cluster.client.json<Deployment>('GET', `${deploymentsPath}/web`)).status?.availableReplicas ?? 0) < replicas);
  await available(cluster);
}

async function roll(cluster: FleetCluster): Promise<void> {
  await cluster.client.json('PUT', `${deploymentsPath}/web`, deployment('two'));
  await available(cluster);
}

/** Pods on lost hosts stay: nobody says that they have ended. */
async function remove(cluster: FleetCluster): Promise<void> {
  const before = (await cluster.client.json<{ items: Pod[] }>('GET', pods)).items;
  const stuck = before.filter(({ metadata }) => metadata?.deletionTimestamp !== undefined).length;
  await cluster.client.json('DELETE', `${deploymentsPath}/web`);
  await cluster.until('the removal', async () => await cluster.count(pods) <= stuck);
}

/** Nobody asks anything while the window lasts. */
async function rest(cluster: FleetCluster, quick: boolean): Promise<Row[]> {
  const windowMs = quick ? 10_000 : 60_000;
  await sleep(quick ? 20_000 : settleMs);
  const before = cluster.usage();
  await sleep(windowMs);
  const after = cluster.usage();
  const name = (what: string): string => `fleet: ${what}, ${replicas.toLocaleString('en')} pods on ${String(hosts)} hosts`;
  const bytes = JSON.stringify((await cluster.client.json<{ items: unknown[] }>('GET', pods)).items).length;
  return [
    { name: name('idle CPU'), unit: '% of a core', value: round((100 * (after.cpuMs - before.cpuMs)) / windowMs), note: `${String(hosts)} heartbeats every 10 s` },
    { name: name(`written to disk in ${String(windowMs / 1000)} idle seconds`), unit: 'KB', value: round((after.writtenBytes - before.writtenBytes) / 1024), ...(!quick && { budget: { at: 'most', of: 'value', bound: 64 } }) },
    { name: name('memory (PSS) at rest'), unit: 'MB', value: round(after.pssBytes / mb), peer: { name: 'the pods themselves, as JSON', value: round(bytes / mb) } },
  ];
}

/** Synced writes of a pod's size a second, in batches of 64: what no control plane that keeps its word can do without. */
async function synced(batches: number): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-bench-fleet-floor-'));
  const level = new Level<string, Buffer>(dir, { valueEncoding: 'buffer' });
  try {
    await level.open();
    const value = Buffer.alloc(3000, 'p');
    const began = performance.now();
    for (let i = 0; i < batches; i++) await level.batch(Array.from({ length: 64 }, (_, n) => ({ type: 'put' as const, key: `${String(i)}/${String(n)}`, value })), { sync: true });
    return (batches * 64) / ((performance.now() - began) / 1000);
  } finally {
    await level.close();
    await rm(dir, { recursive: true, force: true });
  }
}

function round(value: number): number {
  return Number(value.toFixed(value < 10 ? 2 : 1));
}
