import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Deployment, Node, Pod } from '#api/gen/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { leaveSoon } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';
import type { LabHost } from '../support/lab/host.ts';
import { createLab, type Lab } from '../support/lab/lab.ts';
import type { LabProcess } from '../support/lab/process.ts';
import { RestClient } from '../support/rest-client.ts';

const support = join(import.meta.dirname, '../support');
const executable = join(import.meta.dirname, '../../cleat');
/** More than Kubernetes' large zone; the first part alone is more than 55 % of them. */
const parts = [40, 20] as const;
const replicas = 120;
const graceMs = 6000;

/** Simulated agents that speak the real protocol; when one of the two switches dies, those behind it are gone at once. */
describe('hosts that vanish at once', () => {
  let lab: Lab;
  let host: LabHost;
  let api: RestClient;
  let controlPlane: LabProcess;
  const fleets: ChildProcess[] = [];

  const start = async (part: 0 | 1): Promise<void> => {
    const fleet = fleets[part] = spawn(process.execPath, [join(support, 'agent-fleet.ts'), host.address, '6443', host.path('/var/lib/cleat/server/pki'), String(parts[part]), String(part * parts[0])], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(fleet.stdout!, 'data');
  };
  /** Stopped, they say nothing; their keys and what they know stay. */
  const vanish = (part: 0 | 1): unknown => fleets[part]?.kill('SIGSTOP');
  const comeBack = (part: 0 | 1): unknown => fleets[part]?.kill('SIGCONT');
  const items = async <T extends KubeObject>(path: string): Promise<T[]> => ((await api.send('GET', path)).body.items ?? []) as T[];
  const readyNodes = async (): Promise<number> => (await items<Node>('/api/v1/nodes')).filter((node) => node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True')).length;
  const leaving = async (): Promise<Node[]> => (await items<Node>('/api/v1/nodes')).filter((node) => node.spec?.taints?.some(({ effect }) => effect === 'NoExecute'));
  const waitForNodes = (count: number): Promise<unknown> => eventually(async () => await readyNodes() === count, { what: `${String(count)} ready nodes`, timeoutMs: 90_000, intervalMs: 250, explain: () => controlPlane.output().slice(-4000) });
  const uids = async (): Promise<string[]> => (await items<Pod>('/api/v1/pods')).filter((pod) => pod.metadata?.deletionTimestamp === undefined).map((pod) => pod.metadata?.uid ?? '').sort((a, b) => (a < b ? -1 : 1));
  const web: Deployment = {
    apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'web' },
    spec: { replicas, selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: { tolerations: leaveSoon, containers: [{ name: 'c', image: 'x' }] } } },
  };
  const running = (): Promise<unknown> => eventually(async () => {
    const pods = (await items<Pod>('/api/v1/pods')).filter((pod) => pod.metadata?.deletionTimestamp === undefined);
    return pods.length === replicas && pods.every((pod) => pod.status?.phase === 'Running');
  }, { what: 'all pods to run', timeoutMs: 90_000, intervalMs: 250 });

  beforeAll(async () => {
    lab = await createLab({ hosts: 1, uplink: true });
    host = lab.host(0);
    controlPlane = host.spawn('controlplane', executable, ['controlplane', `--advertise-address=${host.address}`, '--log-level=info', '--heartbeat-period=1s', `--node-monitor-grace-period=${String(graceMs)}ms`, '--pod-cidr=10.64.0.0/10']);
    await controlPlane.waitForOutput('is ready at', 20_000);
    api = new RestClient(host.path('/etc/cleat/kubeconfig'), host.address);
    await Promise.all([start(0), start(1)]);
    await waitForNodes(parts[0] + parts[1]);
    await eventually(async () => (await items<Node>('/api/v1/nodes')).every((node) => (node.spec?.taints ?? []).length === 0), { what: 'nodes that take pods', timeoutMs: 30_000 });
    expect((await api.send('POST', '/apis/apps/v1/namespaces/default/deployments', web)).status).toBe(201);
    await running();
  });
  afterAll(async () => {
    for (const fleet of fleets) fleet.kill('SIGKILL');
    api?.close();
    await lab?.destroy();
  });

  it('move nothing when all are gone, and find all as it was when they are back', async () => {
    const before = await uids();
    for (const part of [0, 1] as const) vanish(part);
    await waitForNodes(0);
    // Twice as long as pods tolerate that.
    await eventually(async () => controlPlane.output().includes('no node is ready any more'), { what: 'the control plane to see what is wrong', timeoutMs: 20_000 });
    await new Promise((resolve) => { setTimeout(resolve, 4000); });
    expect([await leaving(), await uids()]).toEqual([[], before]);
    for (const part of [0, 1] as const) comeBack(part);
    await waitForNodes(parts[0] + parts[1]);
    await eventually(async () => (await leaving()).length === 0, { what: 'no node to be evicted from', timeoutMs: 30_000 });
    expect(await uids()).toEqual(before);
  });

  it('move from one node after the other, slowly, when most are gone', async () => {
    const before = new Set(await uids());
    vanish(0);
    await waitForNodes(parts[1]);
    // One at once, the next after 100 seconds.
    await eventually(async () => (await leaving()).length > 0, { what: 'the first to be evicted from', timeoutMs: 30_000 });
    await eventually(async () => (await uids()).some((uid) => !before.has(uid)), { what: 'its pods to be replaced', timeoutMs: 30_000, explain: async () => JSON.stringify([(await leaving()).map(({ metadata, spec }) => [metadata?.name, spec]), (await items<Pod>('/api/v1/pods')).map(({ metadata, spec, status }) => [metadata?.name, metadata?.deletionTimestamp, spec?.nodeName, status?.phase].join())]) + controlPlane.output().split('\n').filter((line) => !/session/.test(line)).slice(-25).join('\n') });
    expect(await leaving()).toHaveLength(1);
    const [left] = await leaving();
    const lost = (await items<Pod>('/api/v1/pods')).filter((pod) => pod.spec?.nodeName === left?.metadata?.name).length;
    expect((await uids()).filter((uid) => !before.has(uid)).length).toBeLessThanOrEqual(lost);
    comeBack(0);
    await waitForNodes(parts[0] + parts[1]);
    await running();
    // A node is ready a moment before its taint is gone.
    await eventually(async () => (await leaving()).length === 0, { what: 'no node to be evicted from', timeoutMs: 30_000 });
  });
});
