import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { kinds } from '#api/kinds/registry.ts';
import type { Resource } from '#api/kinds/resources.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { Informers } from '#controlplane/cache/informers.ts';
import type { Indexes, Informer } from '#controlplane/cache/types.ts';
import { ControllerManager } from '#controlplane/controllers/manager.ts';
import { controllers } from '#controlplane/controllers/registry.ts';
import { FakeNodes } from '../streams/testing.ts';
import { TestServer } from '../test-server.ts';
import type { Everything } from './everything.ts';
import { testFrontProxy } from './testing.ts';

const until = (work: () => Promise<void>): Promise<void> => vi.waitFor(work, { timeout: 20_000, interval: 50 });
const apiServices = '/apis/apiregistration.k8s.io/v1/apiservices';

/** Runs controllers on a server; with `everything` on what is behind it, too. */
function run(server: TestServer, names: readonly string[], everything?: Everything): void {
  const local = new Informers({ store: server.store, log: silentLog });
  const chosen = Object.fromEntries(Object.entries(controllers).filter(([name]) => names.includes(name)));
  const client = everything ?? server.api.client({ name: 'system:kube-controller-manager', groups: ['system:masters'] });
  const informers = { informer: <T extends KubeObject>(resource: Resource<T>, indexes?: Indexes<T>): Informer<T> => (everything && resource.group === 'wardle.example.com' ? everything : local).informer(resource, indexes) };
  const manager = new ControllerManager(
    { informers, client, recorder: (component) => server.api.recorder({ component }), clock: systemClock, log: silentLog, random: Math.random, controllers: chosen },
    { podCidr: '10.42.0.0/16', nodeCidrMaskSize: 24, nodeMonitorGracePeriodMs: 40_000, burstReplicas: 500, rootCa: '', resources: Object.values(kinds).map(({ resource }) => resource as Resource),
      custom: server.api.customResources, ...(everything && { aggregated: everything }), checkApiService: (...about) => server.api.checkApiService(...about) },
  );
  void local.start(stop.signal);
  void manager.start(stop.signal);
}

const stop = new AbortController();

/** One API server behind another: what the first deletes and collects, the second keeps. */
describe('objects of an aggregated API server', () => {
  const frontProxy = testFrontProxy();
  let front: TestServer;
  let back: TestServer;

  const post = async (server: TestServer, path: string, body: unknown): Promise<{ metadata: { uid: string } }> => {
    const answer = await server.ask(path, { method: 'POST', body });
    expect(answer.status, answer.text).toBe(201);
    return answer.json();
  };
  const flunders = (ns: string): string => `/apis/wardle.example.com/v1/namespaces/${ns}/flunders`;

  beforeAll(async () => {
    [front, back] = await Promise.all([TestServer.start({ nodes: new FakeNodes(), frontProxy }), TestServer.start({ frontProxy })]);
    const everything = front.api.everything({ name: 'system:kube-controller-manager', groups: ['system:masters'] });
    void everything.start(stop.signal);
    run(front, ['api-service-availability', 'garbage-collector', 'namespace'], everything);
    run(back, ['custom-resource-definition']);
    const openAPIV3Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
    await post(back, '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', { metadata: { name: 'flunders.wardle.example.com' }, spec: { group: 'wardle.example.com', scope: 'Namespaced', names: { plural: 'flunders', kind: 'Flunder' }, versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } }] } });
    await post(front, '/api/v1/namespaces/default/services', { metadata: { name: 'wardle' }, spec: { ports: [{ name: 'https', port: 443 }] } });
    await post(front, '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', { metadata: { name: 'wardle-1', labels: { 'kubernetes.io/service-name': 'wardle' } }, addressType: 'IPv4', ports: [{ name: 'https', port: back.port, protocol: 'TCP' }], endpoints: [{ addresses: ['10.42.0.7'], nodeName: 'node-1', conditions: { ready: true } }] });
    await post(front, apiServices, { metadata: { name: 'v1.wardle.example.com' }, spec: { group: 'wardle.example.com', version: 'v1', groupPriorityMinimum: 1000, versionPriority: 15, service: { namespace: 'default', name: 'wardle' }, insecureSkipTLSVerify: true } });
    await until(async () => { expect((await front.ask(flunders('default'))).status).toBe(200); });
    await until(async () => { await Promise.resolve(); expect(everything.resources).toEqual([{ group: 'wardle.example.com', version: 'v1', plural: 'flunders', kind: 'Flunder', namespaced: true }]); });
  });
  afterAll(async () => {
    stop.abort(new Error('end'));
    await front.stop();
    await back.stop();
  });

  const owner = (apiVersion: string, kind: string, name: string, { metadata: { uid } }: { metadata: { uid: string } }): object => ({ ownerReferences: [{ apiVersion, kind, name, uid }] });
  const gone = (server: TestServer, path: string): Promise<void> => until(async () => { expect((await server.ask(path)).status).toBe(404); });

  it('are written in the name of who asks', async () => {
    const made = await front.ask(flunders('default'), { method: 'POST', body: { apiVersion: 'wardle.example.com/v1', kind: 'Flunder', metadata: { name: 'one' } } });
    expect(made.json()).toMatchObject({ kind: 'Flunder', metadata: { name: 'one' } });
    expect((await back.ask(`${flunders('default')}/one`)).status).toBe(200);
    expect((await front.ask(flunders('default'), { identity: front.identity('nobody') })).json()).toMatchObject({ code: 403, message: expect.stringContaining('User "nobody" cannot list resource "flunders" in API group "wardle.example.com"') as string });
  });

  it('go with their owners, and take along what they own', async () => {
    const configMaps = '/api/v1/namespaces/default/configmaps';
    const flunder = { apiVersion: 'wardle.example.com/v1', kind: 'Flunder' };
    const first = await post(front, configMaps, { metadata: { name: 'first' } });
    const second = await post(front, flunders('default'), { ...flunder, metadata: { name: 'second', ...owner('v1', 'ConfigMap', 'first', first) } });
    await post(front, configMaps, { metadata: { name: 'third', ...owner('wardle.example.com/v1', 'Flunder', 'second', second) } });
    await post(front, configMaps, { metadata: { name: 'lost', ...owner('wardle.example.com/v1', 'Flunder', 'never', { metadata: { uid: '0' } }) } });
    await gone(front, `${configMaps}/lost`);
    expect((await front.ask(`${configMaps}/third`)).status).toBe(200);
    await front.ask(`${configMaps}/first`, { method: 'DELETE' });
    await gone(back, `${flunders('default')}/second`);
    await gone(front, `${configMaps}/third`);
  }, 40_000);

  it('go with their namespace', async () => {
    for (const server of [front, back]) await post(server, '/api/v1/namespaces', { metadata: { name: 'doomed' } });
    const at = `${flunders('doomed')}/held`;
    await post(front, flunders('doomed'), { apiVersion: 'wardle.example.com/v1', kind: 'Flunder', metadata: { name: 'held', finalizers: ['example.com/wait'] } });
    await post(front, flunders('doomed'), { apiVersion: 'wardle.example.com/v1', kind: 'Flunder', metadata: { name: 'free' } });
    await front.ask('/api/v1/namespaces/doomed', { method: 'DELETE' });
    await gone(back, `${flunders('doomed')}/free`);
    await until(async () => { expect((await front.ask('/api/v1/namespaces/doomed')).text).toContain('Some resources are remaining: flunders.wardle.example.com has 1 resource instances'); });
    await front.ask(at, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { metadata: { finalizers: null } } });
    await gone(front, '/api/v1/namespaces/doomed');
  }, 40_000);

  it('are followed again when their server has been away', async () => {
    await back.restart();
    const configMaps = '/api/v1/namespaces/default/configmaps';
    const owning = await post(front, configMaps, { metadata: { name: 'owning' } });
    await until(async () => { expect((await front.ask(flunders('default'), { method: 'POST', body: { apiVersion: 'wardle.example.com/v1', kind: 'Flunder', metadata: { name: 'late', ...owner('v1', 'ConfigMap', 'owning', owning) } } })).status).toBe(201); });
    await front.ask(`${configMaps}/owning`, { method: 'DELETE' });
    await gone(back, `${flunders('default')}/late`);
  }, 60_000);

  it('hold up a namespace while nobody can tell what is there', async () => {
    await post(front, '/api/v1/namespaces', { metadata: { name: 'unsure' } });
    await front.ask('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/wardle-1', { method: 'DELETE' });
    await until(async () => { expect((await front.ask(flunders('default'))).status).toBe(503); });
    // What controllers know of it comes a moment later.
    await until(async () => { expect((await front.ask('/apis', { headers: { accept: 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList' } })).text).toContain('"freshness":"Stale"'); });
    await front.ask('/api/v1/namespaces/unsure', { method: 'DELETE' });
    await until(async () => { expect((await front.ask('/api/v1/namespaces/unsure')).text).toContain('Discovery failed for some groups, 1 failing: unable to retrieve the complete list of server APIs: wardle.example.com/v1: stale GroupVersion discovery'); });
    await front.ask(`${apiServices}/v1.wardle.example.com`, { method: 'DELETE' });
    await gone(front, '/api/v1/namespaces/unsure');
  }, 60_000);
});
