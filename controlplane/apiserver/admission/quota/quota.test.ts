import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Pod, PodSpec, ResourceQuota, ResourceQuotaSpec } from '#api/gen/types.ts';
import { configMaps, namespaces, pods, resourceQuotas, serviceAccounts, services } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { TestServer } from '../../test-server.ts';
import type { ApiClient } from '../../types.ts';

let server: TestServer;
let client: ApiClient;
const connect = (): void => { client = server.api.client({ name: 'test', groups: ['system:masters'] }); };
beforeAll(async () => {
  server = await TestServer.start();
  connect();
});
afterAll(async () => { await server.stop(); });

let count = 0;
async function namespace(spec?: ResourceQuotaSpec): Promise<string> {
  const name = `ns-${String(++count)}`;
  await client.create(namespaces, { metadata: { name } });
  await client.create(serviceAccounts, { metadata: { name: 'default', namespace: name } });
  if (spec) await quota(name, spec);
  return name;
}
const quota = (ns: string, spec: ResourceQuotaSpec, name = 'q'): Promise<unknown> => client.create<ResourceQuota>(resourceQuotas, { metadata: { name, namespace: ns }, spec });
const pod = (ns: string, name: string, resources: Record<string, Record<string, string>> = {}, spec: Partial<PodSpec> = {}): Promise<Pod> =>
  client.create<Pod>(pods, { metadata: { name, namespace: ns }, spec: { containers: [{ name: 'c', image: 'i', resources }], ...spec } });
const used = async (ns: string, name = 'q'): Promise<Record<string, string> | undefined> => (await client.get(resourceQuotas, ns, name)).status?.used;

describe('quota', () => {
  it('refuses what would exceed it, says so in Kubernetes\' words, and tells what is used', async () => {
    const ns = await namespace({ hard: { pods: '2', 'requests.cpu': '1', 'limits.memory': '1Gi', services: '1', 'services.nodeports': '1' } });
    await expect(pod(ns, 'silent')).rejects.toThrow('pods "silent" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c');
    await pod(ns, 'one', { requests: { cpu: '600m' }, limits: { memory: '256Mi' } });
    await expect(pod(ns, 'two', { requests: { cpu: '500m' }, limits: { memory: '1Gi' } }))
      .rejects.toThrow('pods "two" is forbidden: exceeded quota: q, requested: limits.memory=1Gi,requests.cpu=500m, used: limits.memory=256Mi,requests.cpu=600m, limited: limits.memory=1Gi,requests.cpu=1');
    await client.create(services, { metadata: { name: 's', namespace: ns }, spec: { type: 'NodePort', ports: [{ port: 80 }] } });
    await expect(client.create(services, { metadata: { name: 't', namespace: ns }, spec: { ports: [{ port: 80 }] } })).rejects.toThrow('exceeded quota: q, requested: services=1, used: services=1, limited: services=1');
    await vi.waitFor(async () => { expect(await used(ns)).toEqual({ pods: '1', 'requests.cpu': '600m', 'limits.memory': '256Mi', services: '1', 'services.nodeports': '1' }); });
    await client.update(pods, { ...await client.get(pods, ns, 'one'), status: { phase: 'Succeeded' } }, 'status');
    await vi.waitFor(async () => { expect(await used(ns)).toMatchObject({ pods: '0', 'requests.cpu': '0' }); });
    await pod(ns, 'three', { requests: { cpu: '1' }, limits: { memory: '1Gi' } });
    await client.delete(services, ns, 's');
    await vi.waitFor(async () => { expect(await used(ns)).toMatchObject({ pods: '1', services: '0', 'services.nodeports': '0' }); });
  });

  it('is exact however many come at once, and gives back what failed', async () => {
    const ns = await namespace({ hard: { pods: '10', 'count/configmaps': '5' } });
    const results = await Promise.allSettled(Array.from({ length: 40 }, (_, i) => pod(ns, `p-${String(i % 30)}`)));
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(10);
    expect((await client.list(pods, ns)).items).toHaveLength(10);
    const maps = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => client.create(configMaps, { metadata: { name: `m-${String(i)}`, namespace: ns } })));
    expect(maps.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
    const [first] = (await client.list(pods, ns)).items;
    await expect(pod(ns, first?.metadata?.name ?? '')).rejects.toThrow(/exceeded quota|already exists/);
    await client.delete(pods, ns, first?.metadata?.name ?? '', { gracePeriodSeconds: 0 });
    await pod(ns, 'next');
    await expect(pod(ns, 'last')).rejects.toThrow('exceeded quota: q, requested: pods=1, used: pods=10, limited: pods=10');
    expect((await server.ask(`/api/v1/namespaces/${ns}/pods?dryRun=All`, { method: 'POST', body: { metadata: { name: 'dry' }, spec: { containers: [{ name: 'c', image: 'i' }] } } })).status).toBe(403);
  });

  it('counts what was there before it, after a restart too, and follows changes of itself', async () => {
    const ns = await namespace();
    await pod(ns, 'early');
    await client.create(configMaps, { metadata: { name: 'm', namespace: ns } });
    await quota(ns, { hard: { pods: '1', configmaps: '2' } });
    await expect(pod(ns, 'late')).rejects.toThrow('exceeded quota: q');
    await vi.waitFor(async () => { expect(await used(ns)).toEqual({ pods: '1', configmaps: '1' }); });
    await server.restart();
    connect();
    await expect(pod(ns, 'late')).rejects.toThrow('exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1');
    await client.patch(resourceQuotas, ns, 'q', 'merge', { spec: { hard: { pods: '2', configmaps: null, secrets: '3' } } });
    await pod(ns, 'late');
    await vi.waitFor(async () => { expect(await used(ns)).toEqual({ pods: '2', secrets: '0' }); });
    await client.delete(resourceQuotas, ns, 'q');
    await pod(ns, 'free');
  });

  it('is about pods of its scopes only', async () => {
    const ns = await namespace({ hard: { pods: '1' }, scopes: ['BestEffort'] });
    await quota(ns, { hard: { pods: '1' }, scopeSelector: { matchExpressions: [{ scopeName: 'PriorityClass', operator: 'In', values: ['system-node-critical'] }] } }, 'critical');
    await quota(ns, { hard: { pods: '1' }, scopes: ['Terminating'] }, 'ending');
    await pod(ns, 'best');
    await expect(pod(ns, 'best-2')).rejects.toThrow('exceeded quota: q');
    const burst = { requests: { cpu: '1m' } };
    await pod(ns, 'burst-1', burst);
    await pod(ns, 'burst-2', burst);
    await pod(ns, 'critical-1', burst, { priorityClassName: 'system-node-critical' });
    await expect(pod(ns, 'critical-2', burst, { priorityClassName: 'system-node-critical' })).rejects.toThrow('exceeded quota: critical');
    await pod(ns, 'ending-1', burst, { activeDeadlineSeconds: 100 });
    await expect(pod(ns, 'ending-2', burst, { activeDeadlineSeconds: 100 })).rejects.toThrow('exceeded quota: ending');
    await vi.waitFor(async () => { expect([await used(ns), await used(ns, 'critical'), await used(ns, 'ending')]).toEqual([{ pods: '1' }, { pods: '1' }, { pods: '1' }]); });
  });
});

it('takes its status back from whoever writes it, not at once', async () => {
  const clock = new ManualClock(Date.now());
  const own = await TestServer.start({ clock });
  const api = own.api.client({ name: 'test', groups: ['system:masters'] });
  await api.create<ResourceQuota>(resourceQuotas, { metadata: { name: 'q', namespace: 'default' }, spec: { hard: { pods: '5' } } });
  const hard = async (): Promise<unknown> => (await api.get(resourceQuotas, 'default', 'q')).status?.hard;
  await vi.waitFor(async () => { expect(await hard()).toEqual({ pods: '5' }); });
  await api.patch(resourceQuotas, 'default', 'q', 'merge', { status: { hard: { pods: '7' } } }, 'status');
  expect(await hard()).toEqual({ pods: '7' });
  await clock.advance(20_000);
  await vi.waitFor(async () => { expect(await hard()).toEqual({ pods: '5' }); });
  await own.stop();
});
