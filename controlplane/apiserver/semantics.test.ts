import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestServer, type Answer } from './test-server.ts';

/** What the API concepts of Kubernetes promise and clients build on, asked over the wire. */
let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });

interface Meta { name: string; uid: string; resourceVersion: string; generation?: number; finalizers?: string[]; deletionTimestamp?: string; labels?: Record<string, string>; annotations?: Record<string, string> }
interface Thing { kind: string; metadata: Meta; spec: Record<string, unknown>; status: Record<string, unknown> }

const core = '/api/v1/namespaces/default';
const configMaps = `${core}/configmaps`;
const pods = `${core}/pods`;
const deployments = '/apis/apps/v1/namespaces/default/deployments';
const post = (path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> => server.ask(path, { method: 'POST', body, headers });
const put = (path: string, body: unknown): Promise<Answer> => server.ask(path, { method: 'PUT', body });
const merge = (path: string, body: unknown): Promise<Answer> => server.ask(path, { method: 'PATCH', body, headers: { 'content-type': 'application/merge-patch+json' } });
const remove = (path: string, body?: unknown): Promise<Answer> => server.ask(path, { method: 'DELETE', ...(body !== undefined && { body }) });
const template = { metadata: { labels: { app: 'x' } }, spec: { containers: [{ name: 'c', image: 'busybox' }] } };
const deploymentOf = (name: string): unknown => ({ metadata: { name, labels: { app: 'x' } }, spec: { selector: { matchLabels: { app: 'x' } }, template } });
const podOf = (name: string, spec: object = {}): unknown => ({ metadata: { name }, spec: { ...template.spec, ...spec } });

describe('dry runs', () => {
  it('answer as the write would, on every verb, and leave nothing', async () => {
    await post(configMaps, { metadata: { name: 'dry' } });
    await post(deployments, deploymentOf('dry'));
    await post(pods, podOf('dry'));
    const before = server.store.revision;
    const answers = await Promise.all([
      post(`${configMaps}?dryRun=All`, { metadata: { name: 'dry-new' } }),
      post(`${core}/services?dryRun=All`, { metadata: { name: 'dry-new' }, spec: { ports: [{ port: 80 }] } }),
      put(`${configMaps}/dry?dryRun=All`, { metadata: { name: 'dry' }, data: { a: '1' } }),
      merge(`${configMaps}/dry?dryRun=All`, { data: { a: '1' } }),
      put(`${deployments}/dry/scale?dryRun=All`, { spec: { replicas: 4 } }),
      merge(`${deployments}/dry/status?dryRun=All`, { status: { replicas: 4 } }),
      post(`${pods}/dry/binding?dryRun=All`, { target: { name: 'n1' } }),
      post(`${pods}/dry/eviction?dryRun=All`, { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'dry' } }),
      post(`${pods}/dry/eviction`, { metadata: { name: 'dry' }, deleteOptions: { dryRun: ['All'] } }),
      remove(`${configMaps}/dry?dryRun=All`),
      remove(`${configMaps}/dry`, { kind: 'DeleteOptions', apiVersion: 'v1', dryRun: ['All'] }),
      remove(`${configMaps}?dryRun=All`),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 200, 200, 200, 200, 201, 201, 201, 200, 200, 200]);
    expect(answers[2]?.json()).toMatchObject({ data: { a: '1' } });
    expect(answers[4]?.json()).toMatchObject({ spec: { replicas: 4 } });
    expect(server.store.revision).toBe(before);
    expect((await post(`${configMaps}?dryRun=All`, { metadata: { name: 'dry' } })).status).toBe(409);
  });

  it('give back the addresses that they were shown', async () => {
    const make = (query: string): Promise<Answer> => post(`${core}/services${query}`, { metadata: { name: 'addressed' }, spec: { type: 'NodePort', clusterIP: '10.43.9.9', ports: [{ port: 80, nodePort: 30_909 }] } });
    expect((await make('?dryRun=All')).json()).toMatchObject({ spec: { clusterIP: '10.43.9.9' } });
    expect((await make('')).status).toBe(201);
  });
});

describe('fields', () => {
  it('that come twice are refused, warned of or ignored as asked', async () => {
    const body = '{"metadata":{"name":"twice","name":"twice"},"data":{"a":"1","a":"2"},"bogus":1}';
    const strict = await post(`${configMaps}?fieldValidation=Strict`, body);
    expect(strict.json()).toMatchObject({ code: 400, reason: 'BadRequest', message: 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: duplicate field "metadata.name", duplicate field "data.a", unknown field "bogus"' });
    const warned = await post(configMaps, body);
    expect(warned.status).toBe(201);
    expect(String(warned.headers['warning'])).toBe(String.raw`299 - "duplicate field \"metadata.name\"", 299 - "duplicate field \"data.a\"", 299 - "unknown field \"bogus\""`);
    expect(warned.json()).toMatchObject({ data: { a: '2' } });
    expect((await server.ask(`${configMaps}/twice?fieldValidation=Ignore`, { method: 'PUT', body })).headers['warning']).toBeUndefined();
    const patched = await server.ask(`${configMaps}/twice?fieldValidation=Strict`, { method: 'PATCH', body: '{"data":{"b":"1","b":"2"}}', headers: { 'content-type': 'application/merge-patch+json' } });
    expect(patched.json()).toMatchObject({ code: 422, message: expect.stringContaining('duplicate field "data.b"') as string });
    expect((await post(`${configMaps}?fieldValidation=Loose`, body)).status).toBe(422);
  });

  it('named like parts of JavaScript are data', async () => {
    const made = await post(configMaps, '{"metadata":{"name":"odd-keys","labels":{"constructor":"x"},"annotations":{"toString":"y"}},"data":{"__proto__":"p","hasOwnProperty":"h"}}');
    expect(made.status).toBe(201);
    const stored = (await server.ask(`${configMaps}/odd-keys`)).text;
    for (const part of ['"constructor":"x"', '"toString":"y"', '"__proto__":"p"', '"hasOwnProperty":"h"']) expect(stored).toContain(part);
    await server.ask(`${configMaps}/odd-keys`, { method: 'PATCH', body: '{"data":{"__proto__":null,"valueOf":"v"}}', headers: { 'content-type': 'application/strategic-merge-patch+json' } });
    const patched = (await server.ask(`${configMaps}/odd-keys`)).text;
    expect(patched).not.toContain('__proto__');
    expect(patched).toContain('"valueOf":"v"');
    expect(({} as Record<string, unknown>)['valueOf']).toBeTypeOf('function');
    const polluted = await post(configMaps, '{"metadata":{"name":"p"},"__proto__":{"polluted":true},"data":{}}');
    expect(polluted.status).toBe(201);
    expect(polluted.json()).not.toHaveProperty('polluted');
    expect((await server.ask(`${configMaps}?labelSelector=constructor%3Dx`)).json<{ items: unknown[] }>().items).toHaveLength(1);
    expect((await server.ask(`${configMaps}?fieldSelector=constructor%3Dx`)).status).toBe(400);
  });
});

describe('resource versions', () => {
  it('settle who wins: a stale write is a Conflict, one without a version goes through', async () => {
    const made = (await post(configMaps, { metadata: { name: 'raced' }, data: { a: '0' } })).json<Thing>();
    expect((await put(`${configMaps}/raced`, { ...made, data: { a: '1' } })).status).toBe(200);
    expect((await put(`${configMaps}/raced`, { ...made, data: { a: '2' } })).json()).toMatchObject({ code: 409, reason: 'Conflict', details: { name: 'raced', kind: 'configmaps' } });
    expect((await merge(`${configMaps}/raced`, { metadata: { resourceVersion: made.metadata.resourceVersion }, data: { a: '3' } })).status).toBe(409);
    expect((await put(`${configMaps}/raced`, { metadata: { name: 'raced' }, data: { a: '4' } })).status).toBe(200);
    const other = await put(`${configMaps}/raced`, { metadata: { name: 'raced', uid: 'someone-else' }, data: { a: '5' } });
    expect(other.json()).toMatchObject({ code: 409, message: expect.stringContaining('Precondition failed: UID in precondition: someone-else') as string });
    const stale = await put(`${deployments}/none`, deploymentOf('none'));
    expect(stale.json()).toMatchObject({ code: 404, message: 'deployments.apps "none" not found' });
  });

  it('of lists: exact, not older than, with pages, and never with a continue token', async () => {
    await post(configMaps, { metadata: { name: 'aged', labels: { aged: 'yes' } }, data: { v: '1' } });
    const then = (await server.ask(configMaps)).json<{ metadata: { resourceVersion: string } }>().metadata.resourceVersion;
    await merge(`${configMaps}/aged`, { data: { v: '2' } });
    const value = async (query: string): Promise<unknown> => (await server.ask(`${configMaps}?labelSelector=aged&${query}`)).json<{ items: { data: { v: string } }[] }>().items[0]?.data.v;
    expect(await value(`resourceVersion=${then}&resourceVersionMatch=Exact`)).toBe('1');
    expect(await value(`resourceVersion=${then}&limit=5`)).toBe('1');
    expect(await value(`resourceVersion=${then}&resourceVersionMatch=NotOlderThan`)).toBe('2');
    expect(await value(`resourceVersion=${then}`)).toBe('2');
    expect(await value('resourceVersion=0')).toBe('2');
    const token = (await server.ask(`${configMaps}?limit=1`)).json<{ metadata: { continue: string } }>().metadata.continue;
    expect((await server.ask(`${configMaps}?limit=1&continue=${token}&resourceVersion=${then}`)).json()).toMatchObject({ code: 400, message: 'specifying resource version is not allowed when using continue' });
    expect((await server.ask(`${configMaps}?limit=1&continue=${token}&resourceVersion=0`)).status).toBe(200);
    expect((await server.ask(`${pods}?limit=1&continue=${token}`)).status).toBe(400);
    expect((await server.ask(`${configMaps}?resourceVersion=abc`)).status).toBe(422);
  });

  it('of deletes are preconditions', async () => {
    const made = (await post(configMaps, { metadata: { name: 'conditional' } })).json<Thing>();
    expect((await remove(`${configMaps}/conditional`, { preconditions: { uid: 'other' } })).json()).toMatchObject({ code: 409, message: expect.stringContaining('does not match the UID in record') as string });
    expect((await remove(`${configMaps}/conditional`, { preconditions: { resourceVersion: '1' } })).status).toBe(409);
    expect((await remove(`${configMaps}/conditional`, { preconditions: { uid: made.metadata.uid, resourceVersion: made.metadata.resourceVersion } })).status).toBe(200);
  });
});

describe('metadata', () => {
  it('counts generations only for kinds that have them', async () => {
    const generation = async (path: string, body: unknown): Promise<unknown> => (await post(path, body)).json<Thing>().metadata.generation;
    expect(await generation(deployments, deploymentOf('counted'))).toBe(1);
    expect(await generation(pods, podOf('counted'))).toBe(1);
    expect(await generation('/apis/discovery.k8s.io/v1/namespaces/default/endpointslices', { metadata: { name: 'counted' }, addressType: 'IPv4', endpoints: [] })).toBe(1);
    expect(await generation(`${core}/services`, { metadata: { name: 'counted' }, spec: { ports: [{ port: 80 }] } })).toBeUndefined();
    expect(await generation('/api/v1/namespaces', { metadata: { name: 'counted' } })).toBeUndefined();
    expect(await generation('/api/v1/nodes', { metadata: { name: 'counted' } })).toBeUndefined();
    const changed = async (body: unknown, path = `${deployments}/counted`): Promise<unknown> => (await merge(path, body)).json<Thing>().metadata.generation;
    expect(await changed({ metadata: { labels: { a: 'b' } } })).toBe(1);
    expect(await changed({ status: { replicas: 1 } }, `${deployments}/counted/status`)).toBe(1);
    expect(await changed({ spec: { replicas: 3 } })).toBe(2);
  });

  it('keeps status and spec apart, whichever way they come', async () => {
    const made = (await post(deployments, { ...deploymentOf('apart') as object, status: { replicas: 9 } })).json<Thing>();
    expect(made.status).toEqual({});
    const byStatus = (await put(`${deployments}/apart/status`, { ...made, spec: { ...made.spec, replicas: 7 }, metadata: { ...made.metadata, annotations: { by: 'status' }, finalizers: ['a/b'] }, status: { replicas: 1 } })).json<Thing>();
    expect(byStatus).toMatchObject({ spec: { replicas: 1 }, status: { replicas: 1 }, metadata: { annotations: { by: 'status' } } });
    expect(byStatus.metadata.finalizers).toBeUndefined();
    const bySpec = (await put(`${deployments}/apart`, { ...byStatus, status: { replicas: 5 }, spec: { ...made.spec, replicas: 2 } })).json<Thing>();
    expect(bySpec).toMatchObject({ spec: { replicas: 2 }, status: { replicas: 1 } });
    expect((await server.ask(`${deployments}/apart/status`)).json()).toEqual(bySpec);
    expect((await server.ask(`${configMaps}/apart/status`)).status).toBe(404);
  });

  it('holds an object while it has finalizers, takes no new ones then, and answers with its last state', async () => {
    await post(configMaps, { metadata: { name: 'held', finalizers: ['example.com/one', 'example.com/two'] } });
    expect((await remove(`${configMaps}/held`)).json<Thing>().metadata.deletionTimestamp).toMatch(/Z$/);
    expect((await remove(`${configMaps}/held`)).status).toBe(200);
    expect((await merge(`${configMaps}/held`, { metadata: { finalizers: ['example.com/one', 'example.com/three'] } })).json()).toMatchObject({ code: 422, message: expect.stringContaining('no new finalizers can be added if the object is being deleted') as string });
    expect((await merge(`${configMaps}/held`, { metadata: { finalizers: ['example.com/one'] } })).json<Thing>().metadata.finalizers).toEqual(['example.com/one']);
    const last = await merge(`${configMaps}/held`, { metadata: { finalizers: null } });
    expect([last.status, last.json<Thing>().metadata.name]).toEqual([200, 'held']);
    expect((await server.ask(`${configMaps}/held`)).status).toBe(404);
    await post(configMaps, { metadata: { name: 'orphaned' } });
    expect((await remove(`${configMaps}/orphaned`, { propagationPolicy: 'Orphan' })).json<Thing>().metadata.finalizers).toEqual(['orphan']);
    expect((await remove(`${configMaps}/orphaned`, { propagationPolicy: 'Sideways' })).status).toBe(422);
  });

  it('generates names that fit, and refuses bad ones', async () => {
    const made = (await post(configMaps, { metadata: { generateName: `${'long-'.repeat(49)}` } })).json<Thing>();
    expect(made.metadata.name).toMatch(/^(long-){11}lon[a-z0-9]{5}$/);
    expect((await post(configMaps, { metadata: { generateName: 'Bad_' } })).status).toBe(422);
    expect((await post(configMaps, { metadata: {} })).json()).toMatchObject({ code: 422, message: 'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required' });
    expect((await post(configMaps, { metadata: { name: 'x', namespace: 'other' } })).json()).toMatchObject({ code: 400, message: 'the namespace of the provided object does not match the namespace sent on the request' });
    expect((await post(`${configMaps}/named`, { metadata: { name: 'named' } })).status).toBe(405);
  });
});

describe('collections', () => {
  it('are deleted by selector, page by page, finalizers respected', async () => {
    for (const name of ['c1', 'c2', 'c3']) await post(configMaps, { metadata: { name, labels: { collected: 'yes' }, ...(name === 'c3' && { finalizers: ['example.com/stay'] }) } });
    const gone = (await remove(`${configMaps}?labelSelector=collected%3Dyes`)).json<{ kind: string; items: Thing[] }>();
    expect([gone.kind, gone.items.map(({ metadata }) => metadata.name)]).toEqual(['ConfigMapList', ['c1', 'c2', 'c3']]);
    const left = (await server.ask(`${configMaps}?labelSelector=collected`)).json<{ items: Thing[] }>().items;
    expect(left.map(({ metadata }) => [metadata.name, metadata.deletionTimestamp !== undefined])).toEqual([['c3', true]]);
    await merge(`${configMaps}/c3`, { metadata: { finalizers: null } });
  });
});

describe('pods', () => {
  it('get a priority, and the one that they may not choose is refused', async () => {
    const spec = async (name: string, extra: object): Promise<Record<string, unknown>> => (await post(pods, podOf(name, extra))).json<Thing>().spec;
    expect(await spec('plain', {})).toMatchObject({ priority: 0, preemptionPolicy: 'PreemptLowerPriority', serviceAccountName: 'default' });
    expect(await spec('critical', { priorityClassName: 'system-node-critical' })).toMatchObject({ priority: 2_000_001_000 });
    expect((await post(pods, podOf('own', { priority: 7 }))).json()).toMatchObject({ code: 403, message: 'pods "own" is forbidden: the integer value of priority (7) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name' });
    expect((await post(pods, podOf('named', { priorityClassName: 'constructor' }))).json()).toMatchObject({ code: 403, message: 'pods "named" is forbidden: no PriorityClass with name constructor was found' });
    // Who does not know the field need not send it back.
    const { priority: _, preemptionPolicy: __, ...known } = (await server.ask(`${pods}/plain`)).json<Thing>().spec;
    expect((await put(`${pods}/plain`, { metadata: { name: 'plain' }, spec: known })).json()).toMatchObject({ spec: { priority: 0 } });
  });

  it('run as service accounts that exist', async () => {
    expect((await post(pods, podOf('stray', { serviceAccountName: 'nobody' }))).json()).toMatchObject({ code: 403, reason: 'Forbidden', message: 'pods "stray" is forbidden: error looking up service account default/nobody: serviceaccount "nobody" not found' });
    await post(`${core}/serviceaccounts`, { metadata: { name: 'somebody' } });
    expect((await post(pods, podOf('housed', { serviceAccountName: 'somebody' }))).json()).toMatchObject({ spec: { serviceAccount: 'somebody' } });
    // In a new namespace the account called default is on its way, so that a pod waits for it.
    await post('/api/v1/namespaces', { metadata: { name: 'fresh' } });
    const waiting = post('/api/v1/namespaces/fresh/pods', podOf('early'));
    await post('/api/v1/namespaces/fresh/serviceaccounts', { metadata: { name: 'default' } });
    expect((await waiting).status).toBe(201);
  });

  it('are evicted, which is a delete with its grace', async () => {
    await post(pods, podOf('evicted'));
    await post(`${pods}/evicted/binding`, { target: { name: 'n1' } });
    const evict = (body: unknown): Promise<Answer> => post(`${pods}/evicted/eviction`, body);
    expect((await evict({ kind: 'Pod', apiVersion: 'v1' })).status).toBe(400);
    expect((await evict({ metadata: { name: 'other' } })).status).toBe(400);
    const done = await evict({ apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'evicted', namespace: 'default' }, deleteOptions: { gracePeriodSeconds: 7 } });
    expect(done.json()).toMatchObject({ kind: 'Status', status: 'Success', code: 201 });
    expect((await server.ask(`${pods}/evicted`)).json()).toMatchObject({ metadata: { deletionGracePeriodSeconds: 7 } });
    expect((await post(`${pods}/nobody/eviction`, {})).status).toBe(404);
    const listed = (await server.ask('/api/v1')).json<{ resources: { name: string }[] }>().resources.find(({ name }) => name === 'pods/eviction');
    expect(listed).toMatchObject({ kind: 'Eviction', group: 'policy', version: 'v1' });
  });

  it('have no subresources but Kubernetes\' own', async () => {
    await post(pods, podOf('whole'));
    expect((await server.ask(`${pods}/nobody/portforward`)).status).toBe(404);
    expect((await server.ask(`${pods}/whole/nonsense`)).json()).toMatchObject({ code: 404, details: {} });
  });
});

describe('impersonation', () => {
  const as = (headers: Record<string, string>, path = pods, extra: object = {}): Promise<Answer> => server.ask(path, { headers, ...extra });
  const whoami = async (headers: Record<string, string | string[]>): Promise<unknown> => (await server.ask('/apis/authentication.k8s.io/v1/selfsubjectreviews', { method: 'POST', body: {}, headers: headers as Record<string, string> })).json<{ status: { userInfo: unknown } }>().status.userInfo;

  it('judges a request as the one who is named', async () => {
    expect((await as({ 'impersonate-user': 'jane' })).json()).toMatchObject({ code: 403, message: expect.stringContaining('User "jane" cannot list resource "pods"') as string });
    expect((await as({ 'impersonate-user': 'jane', 'impersonate-group': 'system:masters' })).status).toBe(200);
    expect(await whoami({ 'impersonate-user': 'jane', 'impersonate-group': ['a', 'b,c'] })).toEqual({ username: 'jane', groups: ['a', 'b,c', 'system:authenticated'] });
    expect(await whoami({ 'impersonate-user': 'system:serviceaccount:default:x' })).toEqual({ username: 'system:serviceaccount:default:x', groups: ['system:serviceaccounts', 'system:serviceaccounts:default', 'system:authenticated'] });
  });

  it('is for those who may', async () => {
    const jane = { authorization: 'Bearer weak-token', 'impersonate-user': 'admin', 'impersonate-group': 'system:masters' };
    expect((await as(jane, pods, { identity: 'none' })).json()).toMatchObject({ code: 403, message: 'users "admin" is forbidden: User "jane" cannot impersonate resource "users" in API group "" at the cluster scope' });
    expect((await as({ 'impersonate-group': 'system:masters' })).status).toBe(400);
    expect((await as({ 'impersonate-extra-scopes': 'x' })).status).toBe(400);
  });
});
