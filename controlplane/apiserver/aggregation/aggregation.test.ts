import { connect, type TLSSocket } from 'node:tls';
import * as https from 'node:https';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { kinds } from '#api/kinds/registry.ts';
import type { Resource } from '#api/kinds/resources.ts';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { Informers } from '#controlplane/cache/informers.ts';
import { ControllerManager } from '#controlplane/controllers/manager.ts';
import { controllers } from '#controlplane/controllers/registry.ts';
import { FakeNodes } from '../streams/testing.ts';
import { TestServer } from '../test-server.ts';
import { TestApiService, testFrontProxy } from './testing.ts';

interface Condition { readonly type: string; readonly status: string; readonly reason: string; readonly message: string }

const path = '/apis/apiregistration.k8s.io/v1/apiservices';
const root = '/apis/wardle.example.com/v1';
const until = (work: () => Promise<void>): Promise<void> => vi.waitFor(work, { timeout: 5000, interval: 20 });

describe('aggregation', () => {
  const stop = new AbortController();
  const frontProxy = testFrontProxy();
  const nodes = new FakeNodes();
  let server: TestServer;
  let wardle: TestApiService;

  beforeAll(async () => {
    wardle = await TestApiService.start('wardle.default.svc', frontProxy);
    server = await TestServer.start({ nodes, frontProxy });
    const informers = new Informers({ store: server.store, log: silentLog });
    const { 'api-service-availability': availability, 'api-service-registration': registration, 'custom-resource-definition': definitions } = controllers;
    const manager = new ControllerManager(
      { informers, client: server.api.client({ name: 'system:kube-controller-manager', groups: ['system:masters'] }), recorder: (component) => server.api.recorder({ component }), clock: systemClock, log: silentLog, random: Math.random,
        controllers: Object.fromEntries(Object.entries({ availability, registration, definitions }).flatMap(([name, one]) => (one ? [[name, one]] : []))) },
      { podCidr: '10.42.0.0/16', nodeCidrMaskSize: 24, nodeMonitorGracePeriodMs: 40_000, burstReplicas: 500, rootCa: '', resources: Object.values(kinds).map(({ resource }) => resource as Resource),
        checkApiService: (...about) => server.api.checkApiService(...about) },
    );
    void informers.start(stop.signal);
    void manager.start(stop.signal);
  });
  afterAll(async () => {
    stop.abort(new Error('end'));
    await server.stop();
    await wardle.stop();
  });

  const condition = async (name: string): Promise<Condition | undefined> => (await server.ask(`${path}/${name}`)).json<{ status?: { conditions?: Condition[] } }>().status?.conditions?.find(({ type }) => type === 'Available');
  const becomes = (status: string, reason: string, message: string): Promise<void> => until(async () => { expect(await condition('v1.wardle.example.com')).toMatchObject({ status, reason, message }); });
  const post = async (at: string, body: unknown): Promise<void> => { const answer = await server.ask(at, { method: 'POST', body }); expect(answer.status, answer.text).toBe(201); };
  const groups = async (): Promise<string[]> => (await server.ask('/apis')).json<{ groups: { name: string }[] }>().groups.map(({ name }) => name);
  const wholeAccept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList';

  it('lists a Local APIService for each group version that is served here', async () => {
    await until(async () => {
      const { items } = (await server.ask(path)).json<{ items: { metadata: { name: string; labels: Record<string, string> }; spec: { service?: unknown }; status: { conditions: Condition[] } }[] }>();
      const names = items.map(({ metadata }) => metadata.name);
      expect(names).toEqual(expect.arrayContaining(['v1.', 'v1.apps', 'v2.autoscaling', 'v1.authentication.k8s.io', 'v1beta1.metrics.k8s.io']));
      expect(names).not.toContain('v1.apiregistration.k8s.io');
      for (const { metadata, spec, status } of items) {
        expect(metadata.labels['kube-aggregator.kubernetes.io/automanaged']).toBe('onstart');
        expect(spec.service).toBeUndefined();
        expect(status.conditions).toMatchObject([{ type: 'Available', status: 'True', reason: 'Local', message: 'Local APIServices are always available' }]);
      }
    });
    expect((await groups()).slice(0, 5)).toEqual(['apiregistration.k8s.io', 'apps', 'events.k8s.io', 'authentication.k8s.io', 'authorization.k8s.io']);
  });

  it('keeps one for each version of a custom resource, whatever is done to it', async () => {
    const schema = { openAPIV3Schema: { type: 'object' } };
    const crd = { metadata: { name: 'crons.stable.example.com' }, spec: { group: 'stable.example.com', scope: 'Namespaced', names: { plural: 'crons', kind: 'Cron', singular: 'cron' }, versions: [{ name: 'v1', served: true, storage: true, schema }, { name: 'v2', served: true, storage: false, schema }] } };
    await post('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', crd);
    const there = async (name: string): Promise<void> => { await until(async () => { expect((await server.ask(`${path}/${name}`)).json()).toMatchObject({ metadata: { labels: { 'kube-aggregator.kubernetes.io/automanaged': 'true' } }, spec: { group: 'stable.example.com', groupPriorityMinimum: 1000, versionPriority: 100 } }); }); };
    await there('v1.stable.example.com');
    await there('v2.stable.example.com');
    expect((await server.ask(`${path}/v1.stable.example.com`, { method: 'DELETE' })).status).toBe(200);
    await there('v1.stable.example.com');
    await server.ask('/apis/apiextensions.k8s.io/v1/customresourcedefinitions/crons.stable.example.com', { method: 'DELETE' });
    await until(async () => { for (const version of ['v1', 'v2']) expect((await server.ask(`${path}/${version}.stable.example.com`)).status).toBe(404); });
  });

  it('publishes whom servers may believe', async () => {
    const { data } = (await server.ask('/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication')).json<{ data: Record<string, string> }>();
    expect(data).toEqual({
      'client-ca-file': server.caPem, 'requestheader-client-ca-file': frontProxy.ca, 'requestheader-allowed-names': '["front-proxy-client"]', 'requestheader-username-headers': '["X-Remote-User"]',
      'requestheader-group-headers': '["X-Remote-Group"]', 'requestheader-uid-headers': '["X-Remote-Uid"]', 'requestheader-extra-headers-prefix': '["X-Remote-Extra-"]',
    });
    expect((await server.ask('/apis/rbac.authorization.k8s.io/v1/namespaces/kube-system/roles/extension-apiserver-authentication-reader')).status).toBe(200);
  });

  it('says step by step why a server cannot be reached', async () => {
    await post(path, { metadata: { name: 'v1.wardle.example.com' }, spec: { group: 'wardle.example.com', version: 'v1', groupPriorityMinimum: 17_775, versionPriority: 15, service: { namespace: 'default', name: 'wardle', port: 7443 }, caBundle: wardle.caBundle } });
    await becomes('False', 'ServiceNotFound', 'service/wardle in "default" is not present');
    expect(await server.ask(`${root}/flunders`)).toMatchObject({ status: 503, text: 'service unavailable\n' });
    expect(await groups()).toContain('wardle.example.com');
    await post('/api/v1/namespaces/default/services', { metadata: { name: 'wardle' }, spec: { ports: [{ name: 'https', port: 443 }] } });
    await becomes('False', 'ServicePortError', 'service/wardle in "default" is not listening on port 7443');
    await server.ask('/api/v1/namespaces/default/services/wardle', { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { spec: { ports: [{ name: 'https', port: 7443 }] } } });
    await becomes('False', 'EndpointsNotFound', 'cannot find endpointslices for service/wardle in "default"');
    const slice = (ready: boolean): unknown => ({ metadata: { name: 'wardle-1', labels: { 'kubernetes.io/service-name': 'wardle' } }, addressType: 'IPv4', ports: [{ name: 'https', port: wardle.port, protocol: 'TCP' }], endpoints: [{ addresses: ['10.42.0.7'], nodeName: 'node-1', conditions: { ready } }] });
    const slices = '/apis/discovery.k8s.io/v1/namespaces/default/endpointslices';
    await post(slices, slice(false));
    await becomes('False', 'MissingEndpoints', 'endpointslices for service/wardle in "default" have no addresses with port name "https"');
    wardle.refuseWith = 403;
    await server.ask(`${slices}/wardle-1`, { method: 'PUT', body: slice(true) });
    const url = `https://10.42.0.7:${String(wardle.port)}${root}`;
    await becomes('False', 'FailedDiscoveryCheck', `failing or missing response from ${url}: bad status from ${url}: 403`);
    wardle.refuseWith = undefined;
    await becomes('True', 'Passed', 'all checks passed');
  });

  it('reads for parts of this program, in their own names', async () => {
    const user = { name: 'system:serviceaccount:kube-system:horizontal-pod-autoscaler', groups: ['system:serviceaccounts'] };
    const read = (group: string, at: string): Promise<unknown> => server.api.readAggregated(user, group, at, AbortSignal.timeout(5000));
    expect(await read('wardle.example.com', '/flunders?labelSelector=a%3Db')).toMatchObject({ kind: 'FlunderList' });
    expect(wardle.seen.at(-1)).toMatchObject({ url: `${root}/flunders?labelSelector=a%3Db`, client: 'front-proxy-client', headers: { 'x-remote-user': user.name, 'x-remote-group': 'system:serviceaccounts' } });
    await expect(read('wardle.example.com', '/none')).rejects.toThrow(`${root}/none answered 404`);
    await expect(read('external.metrics.k8s.io', '/x')).rejects.toThrow('no API external.metrics.k8s.io registered');
  });

  it('hands requests on through the node of the endpoint, with who asks and a certificate', async () => {
    const list = await server.ask(`${root}/flunders?limit=5`, { headers: { 'X-Remote-User': 'forged', 'X-Remote-Group': 'system:masters', 'Impersonate-User': 'jane', 'Impersonate-Group': 'system:masters', 'Impersonate-Uid': '7', 'Impersonate-Extra-example.com%2fscope': 'a' } });
    expect(list.json()).toMatchObject({ kind: 'FlunderList' });
    const { headers, url, client } = wardle.seen.at(-1) ?? {};
    expect(url).toBe(`${root}/flunders?limit=5`);
    expect(client).toBe('front-proxy-client');
    expect(headers).toMatchObject({ 'x-remote-user': 'jane', 'x-remote-group': 'system:masters, system:authenticated', 'x-remote-uid': '7', 'x-remote-extra-example.com%2fscope': 'a', 'host': `10.42.0.7:${String(wardle.port)}` });
    for (const name of ['authorization', 'impersonate-user', 'impersonate-group', 'impersonate-uid']) expect(headers?.[name]).toBeUndefined();
    expect(nodes.asked.at(-1)).toEqual({ kind: 'dial', host: '10.42.0.7', port: wardle.port });
    expect((await server.ask(`${root}/namespaces/default/flunders/a/b/c/d`)).status).toBe(404);
    expect(wardle.seen.at(-1)?.url).toBe(`${root}/namespaces/default/flunders/a/b/c/d`);
    expect((await server.ask(`${root}/flunders`, { identity: server.identity('nobody') })).status).toBe(403);
    expect((await server.ask(root, { identity: 'none' })).status).toBe(401);
  });

  it('shows what it serves in discovery and OpenAPI, where its rank wants it', async () => {
    expect((await groups()).slice(1, 4)).toEqual(['apps', 'wardle.example.com', 'events.k8s.io']);
    const { items } = (await server.ask('/apis', { headers: { accept: wholeAccept } })).json<{ items: { metadata: { name: string }; versions: unknown[] }[] }>();
    expect(items[2]).toMatchObject({ metadata: { name: 'wardle.example.com' }, versions: [{ version: 'v1', freshness: 'Current', resources: [
      { resource: 'flunders', scope: 'Namespaced', responseKind: { group: 'wardle.example.com', version: 'v1', kind: 'Flunder' }, subresources: [{ subresource: 'status' }] },
    ] }] });
    expect((await server.ask(root)).json()).toMatchObject({ kind: 'APIResourceList', groupVersion: 'wardle.example.com/v1' });
    expect((await server.ask('/apis/wardle.example.com')).json()).toMatchObject({ kind: 'APIGroup', preferredVersion: { groupVersion: 'wardle.example.com/v1' } });
    const { paths } = (await server.ask('/openapi/v3')).json<{ paths: Record<string, { serverRelativeURL: string }> }>();
    expect((await server.ask(paths['apis/wardle.example.com/v1']?.serverRelativeURL ?? '')).json()).toMatchObject({ paths: { [`${root}/flunders`]: {} } });
    const v2 = (await server.ask('/openapi/v2')).json<{ paths: Record<string, unknown>; definitions: Record<string, unknown> }>();
    expect(JSON.stringify(v2.paths[`${root}/flunders`])).toContain('#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta_v2');
    expect(v2.definitions['io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta_v2']).toMatchObject({ description: 'an older one' });
    expect(v2.definitions['unused']).toBeUndefined();
    expect(v2.paths['/apis/']).toBeUndefined();
  });

  it('lets watches through as they come, and ends them with their client', async () => {
    const end = new AbortController();
    for await (const event of server.lines(`${root}/flunders?watch=true`, end.signal)) {
      expect(event).toMatchObject({ type: 'ADDED' });
      break;
    }
    end.abort();
    await until(async () => { await Promise.resolve(); expect(nodes.open_).toBe(0); });
  });

  it('takes a body that is larger than any of its own, and gives no more than the client takes', async () => {
    const size = 40 << 20;
    const answer = await new Promise<string>((resolve, reject) => {
      const request = https.request({ host: '127.0.0.1', port: server.port, path: `${root}/big`, method: 'POST', ca: server.caPem, servername: 'localhost', ...server.admin, headers: { 'content-length': String(size) } }, (response) => {
        response.setEncoding('utf8').on('data', resolve);
      });
      request.on('error', reject);
      let left = size;
      const give = (): void => { while (left > 0) { left -= 1 << 20; if (!request.write(Buffer.alloc(1 << 20))) { request.once('drain', give); return; } } request.end(); };
      give();
    });
    expect(answer).toBe(String(size));
    const slow = await new Promise<{ destroy: () => void }>((resolve, reject) => {
      const request = https.get({ host: '127.0.0.1', port: server.port, path: `${root}/big`, ca: server.caPem, servername: 'localhost', ...server.admin }, (response) => { response.pause(); resolve(request); });
      request.on('error', reject);
    });
    let before = -1;
    await vi.waitFor(() => {
      const { given } = wardle.bytes;
      const rests = given === before;
      before = given;
      if (!rests) throw new Error('still giving');
    }, { timeout: 5000, interval: 200 });
    expect(wardle.bytes.given).toBeLessThan(64 << 20);
    slow.destroy();
    await until(async () => { await Promise.resolve(); expect(nodes.open_).toBe(0); });
  });

  it('lets upgraded connections through', async () => {
    const socket = connect({ host: '127.0.0.1', port: server.port, ca: server.caPem, servername: 'localhost', ...server.admin, ALPNProtocols: ['http/1.1'] });
    await new Promise((resolve, reject) => { socket.once('secureConnect', resolve).once('error', reject); });
    socket.write(`GET ${root}/echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`);
    expect(await next(socket)).toContain('101 Switching Protocols');
    socket.write('hello');
    expect(await next(socket)).toBe('hello');
    socket.destroy();
    await until(async () => { await Promise.resolve(); expect(nodes.open_).toBe(0); });
  });

  it('believes no other certificate than that of the Service by the CA that is named', async () => {
    const patch = (spec: unknown): Promise<unknown> => server.ask(`${path}/v1.wardle.example.com`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { spec } });
    await patch({ caBundle: Buffer.from(frontProxy.ca).toString('base64') });
    await until(async () => { expect(await condition('v1.wardle.example.com')).toMatchObject({ status: 'False', reason: 'FailedDiscoveryCheck' }); });
    expect((await server.ask(`${root}/flunders`)).status).toBe(503);
    expect((await server.ask('/apis', { headers: { accept: wholeAccept } })).json<{ items: { metadata: { name: string }; versions: unknown[] }[] }>().items[2]).toMatchObject({ versions: [{ version: 'v1', freshness: 'Stale' }] });
    expect((await server.ask('/openapi/v3')).text).not.toContain('wardle');
    await patch({ caBundle: null, insecureSkipTLSVerify: true });
    await until(async () => { expect(await condition('v1.wardle.example.com')).toMatchObject({ status: 'True', reason: 'Passed' }); });
    expect((await server.ask(`${root}/flunders`)).status).toBe(200);
  });

  it('forgets it with its APIService', async () => {
    await server.ask(`${path}/v1.wardle.example.com`, { method: 'DELETE' });
    await until(async () => { expect(await groups()).not.toContain('wardle.example.com'); });
    expect((await server.ask(`${root}/flunders`)).status).toBe(404);
    expect((await server.ask('/openapi/v2')).text).not.toContain('wardle');
  });
});

function next(socket: TLSSocket): Promise<string> {
  return new Promise((resolve, reject) => { socket.once('data', (chunk: Buffer) => { resolve(chunk.toString()); }).once('error', reject); });
}
