import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestServer } from './test-server.ts';

let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });

const configMaps = '/api/v1/namespaces/default/configmaps';
const pods = '/api/v1/namespaces/default/pods';
const podOf = (name: string): unknown => ({ metadata: { name, labels: { app: 'x' } }, spec: { containers: [{ name: 'c', image: 'busybox' }] } });

describe('objects', () => {
  it('creates, reads, replaces and deletes', async () => {
    const made = await server.ask(configMaps, { method: 'POST', body: { metadata: { name: 'one' }, data: { a: '1' } } });
    expect(made.status).toBe(201);
    const object = made.json<{ kind: string; metadata: { uid: string; resourceVersion: string; creationTimestamp: string; namespace: string }; data: unknown }>();
    expect(object).toMatchObject({ kind: 'ConfigMap', apiVersion: 'v1', metadata: { name: 'one', namespace: 'default' }, data: { a: '1' } });
    expect(object.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect((await server.ask(`${configMaps}/one`)).json()).toEqual(object);

    const replaced = await server.ask(`${configMaps}/one`, { method: 'PUT', body: { ...object, data: { a: '2' } } });
    expect(replaced.json()).toMatchObject({ data: { a: '2' }, metadata: { uid: object.metadata.uid } });
    const stale = await server.ask(`${configMaps}/one`, { method: 'PUT', body: { ...object, data: { a: '3' } } });
    expect(stale.json()).toMatchObject({ kind: 'Status', status: 'Failure', code: 409, reason: 'Conflict', message: 'Operation cannot be fulfilled on configmaps "one": the object has been modified; please apply your changes to the latest version and try again' });

    const gone = await server.ask(`${configMaps}/one`, { method: 'DELETE' });
    expect(gone.json()).toMatchObject({ kind: 'Status', status: 'Success', details: { name: 'one', kind: 'configmaps', uid: object.metadata.uid } });
    expect((await server.ask(`${configMaps}/one`)).json()).toMatchObject({ code: 404, reason: 'NotFound', message: 'configmaps "one" not found', details: { name: 'one', kind: 'configmaps' } });
  });

  it('writes nothing for an update that changes nothing', async () => {
    const made = (await server.ask(configMaps, { method: 'POST', body: { metadata: { name: 'same' }, data: { a: '1' } } })).json<{ metadata: { resourceVersion: string } }>();
    const again = (await server.ask(`${configMaps}/same`, { method: 'PUT', body: { metadata: { name: 'same' }, data: { a: '1' } } })).json<{ metadata: { resourceVersion: string } }>();
    expect(again.metadata.resourceVersion).toBe(made.metadata.resourceVersion);
    const patched = await server.ask(`${configMaps}/same`, { method: 'PATCH', body: { data: { a: '1' } }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect(patched.json<{ metadata: { resourceVersion: string } }>().metadata.resourceVersion).toBe(made.metadata.resourceVersion);
  });

  it('makes names, keeps them apart, and refuses what exists', async () => {
    const made = await Promise.all(Array.from({ length: 5 }, () => server.ask(configMaps, { method: 'POST', body: { metadata: { generateName: 'gen-' } } })));
    const names = made.map((answer) => answer.json<{ metadata: { name: string } }>().metadata.name);
    expect(new Set(names).size).toBe(5);
    for (const name of names) expect(name).toMatch(/^gen-[a-z0-9]{5}$/);
    const again = await server.ask(configMaps, { method: 'POST', body: { metadata: { name: names[0] } } });
    expect(again.json()).toMatchObject({ code: 409, reason: 'AlreadyExists', message: `configmaps "${names[0]}" already exists` });
  });

  it('keeps concurrent patches apart', async () => {
    await server.ask(configMaps, { method: 'POST', body: { metadata: { name: 'many' }, data: {} } });
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => server.ask(`${configMaps}/many`, {
      method: 'PATCH', body: { data: { [`k${String(i)}`]: 'v' } }, headers: { 'content-type': 'application/strategic-merge-patch+json' },
    })));
    expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([200]));
    expect(Object.keys((await server.ask(`${configMaps}/many`)).json<{ data: object }>().data)).toHaveLength(20);
  });

  it('does nothing for a dry run', async () => {
    const dry = await server.ask(`${configMaps}?dryRun=All`, { method: 'POST', body: { metadata: { name: 'dry' } } });
    expect(dry.status).toBe(201);
    expect((await server.ask(`${configMaps}/dry`)).status).toBe(404);
    expect((await server.ask(`${configMaps}?dryRun=Some`, { method: 'POST', body: { metadata: { name: 'dry' } } })).status).toBe(422);
  });

  it('answers unknown fields as asked', async () => {
    const body = { metadata: { name: 'odd' }, spec: { foo: 1 } };
    const strict = await server.ask(`${configMaps}?fieldValidation=Strict`, { method: 'POST', body });
    expect(strict.json()).toMatchObject({ code: 400, reason: 'BadRequest', message: 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "spec"' });
    const warned = await server.ask(`${configMaps}?fieldValidation=Warn`, { method: 'POST', body });
    expect(warned.status).toBe(201);
    expect(warned.headers['warning']).toBe(String.raw`299 - "unknown field \"spec\""`);
  });

  it('names every broken rule of an invalid object', async () => {
    const answer = await server.ask(pods, { method: 'POST', body: { metadata: { name: 'BAD' }, spec: { containers: [] } } });
    const status = answer.json<{ message: string; details: { causes: unknown[]; kind: string } }>();
    expect(answer.status).toBe(422);
    expect(status.message).toMatch(/^Pod "BAD" is invalid: \[.*metadata\.name.*spec\.containers: Required value/);
    expect(status.details.kind).toBe('Pod');
    expect(status.details.causes.length).toBeGreaterThan(1);
  });

  it('takes YAML', async () => {
    const answer = await server.ask(configMaps, { method: 'POST', body: 'metadata:\n  name: yaml\ndata:\n  a: "1"\n', headers: { 'content-type': 'application/yaml' } });
    expect(answer.json()).toMatchObject({ metadata: { name: 'yaml' }, data: { a: '1' } });
    // As YAML 1.1, but for times: what follows would else be a wrong mode, no boolean, and no text.
    const octal = 'metadata: {name: octal, annotations: {at: 2026-01-01T00:00:00Z}}\nimmutable: yes\nbase: &b {x: "1"}\ndata: {<<: *b, z: "2"}\n';
    const read = await server.ask(configMaps, { method: 'POST', body: octal, headers: { 'content-type': 'application/yaml' } });
    expect(read.json()).toMatchObject({ metadata: { annotations: { at: '2026-01-01T00:00:00Z' } }, immutable: true, data: { x: '1', z: '2' } });
    const volumes = { method: 'POST', body: 'metadata: {name: modes}\nspec:\n  containers: [{name: c, image: i}]\n  volumes: [{name: v, configMap: {name: c, defaultMode: 0644}}]\n', headers: { 'content-type': 'application/yaml' } };
    expect((await server.ask('/api/v1/namespaces/default/pods?dryRun=All', volumes)).json()).toMatchObject({ spec: { volumes: [{ configMap: { defaultMode: 420 } }, {}] } });
    const written = (await server.ask(`${configMaps}/octal`, { headers: { accept: 'application/yaml' } })).text;
    for (const part of ['    at: "2026-01-01T00:00:00Z"\n', '\nimmutable: true\n', '  managedFields:\n  - apiVersion: v1\n']) expect(written).toContain(part);
    expect((await server.ask(configMaps, { method: 'POST', body: 'a: [1', headers: { 'content-type': 'application/yaml' } })).json()).toMatchObject({ code: 400, reason: 'BadRequest' });
  });
});

describe('lists', () => {
  it('pages at one revision, selects, and counts what remains', async () => {
    await server.ask('/api/v1/namespaces', { method: 'POST', body: { metadata: { name: 'lists' } } });
    const url = '/api/v1/namespaces/lists/configmaps';
    for (const name of ['a', 'b', 'c', 'd', 'e']) await server.ask(url, { method: 'POST', body: { metadata: { name, labels: { odd: String('ace'.includes(name)) } } } });
    interface List { metadata: { continue?: string; remainingItemCount?: number; resourceVersion: string }; items: { metadata: { name: string } }[] }
    const first = (await server.ask(`${url}?limit=2`)).json<List>();
    expect(first).toMatchObject({ kind: 'ConfigMapList', apiVersion: 'v1', metadata: { remainingItemCount: 3 } });
    await server.ask(`${url}/c`, { method: 'DELETE' });
    const second = (await server.ask(`${url}?limit=5&continue=${first.metadata.continue ?? ''}`)).json<List>();
    expect([...first.items, ...second.items].map((item) => item.metadata.name)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);

    const names = async (query: string): Promise<string[]> => (await server.ask(`${url}?${query}`)).json<List>().items.map((item) => item.metadata.name);
    expect(await names('labelSelector=odd%3Dtrue')).toEqual(['a', 'e']);
    expect(await names('labelSelector=odd%20in%20(true)&limit=1')).toEqual(['a']);
    expect(await names('fieldSelector=metadata.name%21%3Da')).toEqual(['b', 'd', 'e']);
    expect((await server.ask(`${url}?fieldSelector=spec.foo%3Da`)).json()).toMatchObject({ code: 400, message: '"spec.foo" is not a known field selector: only "metadata.name", "metadata.namespace"' });
    expect((await server.ask(`${url}?continue=bogus`)).status).toBe(400);
    expect((await server.ask(`${url}?resourceVersionMatch=Exact`)).status).toBe(422);
    expect((await server.ask(`${url}?resourceVersion=999999999`)).json()).toMatchObject({ code: 504, reason: 'Timeout' });
  });

  it('makes tables and bare metadata', async () => {
    await server.ask(pods, { method: 'POST', body: podOf('tabled') });
    const table = (await server.ask(`${pods}?fieldSelector=metadata.name%3Dtabled`, { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' } }))
      .json<{ columnDefinitions: { name: string }[]; rows: { cells: unknown[]; object: { kind: string } }[] }>();
    expect(table).toMatchObject({ kind: 'Table', apiVersion: 'meta.k8s.io/v1' });
    expect(table.columnDefinitions.slice(0, 3).map((column) => column.name)).toEqual(['Name', 'Ready', 'Status']);
    expect(table.rows[0]?.cells.slice(0, 3)).toEqual(['tabled', '0/1', 'Pending']);
    expect(table.rows[0]?.object.kind).toBe('PartialObjectMetadata');
    const bare = (await server.ask(`${pods}/tabled`, { headers: { accept: 'application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io' } })).json();
    expect(Object.keys(bare)).toEqual(['kind', 'apiVersion', 'metadata']);
    expect((await server.ask(pods, { headers: { accept: 'application/vnd.kubernetes.protobuf' } })).json()).toMatchObject({ code: 406, reason: 'NotAcceptable' });
  });
});

describe('pods', () => {
  it('get their defaults', async () => {
    const made = (await server.ask(pods, { method: 'POST', body: podOf('plain') })).json<{ spec: { serviceAccountName: string; tolerations: { key: string; tolerationSeconds: number }[] }; status: unknown }>();
    expect(made.spec.serviceAccountName).toBe('default');
    expect(made.spec.tolerations.map((t) => [t.key, t.tolerationSeconds])).toEqual([['node.kubernetes.io/not-ready', 300], ['node.kubernetes.io/unreachable', 300]]);
    expect(made.status).toMatchObject({ phase: 'Pending' });
  });

  it('are bound once, then deleted with grace until the node confirms', async () => {
    await server.ask(pods, { method: 'POST', body: podOf('bound') });
    const bind = (): ReturnType<TestServer['ask']> => server.ask(`${pods}/bound/binding`, { method: 'POST', body: { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'bound' }, target: { apiVersion: 'v1', kind: 'Node', name: 'n1' } } });
    expect((await bind()).status).toBe(201);
    expect((await bind()).json()).toMatchObject({ code: 409, message: 'Operation cannot be fulfilled on pods/binding "bound": pod bound is already assigned to node "n1"' });
    expect((await server.ask(`${pods}/bound`)).json()).toMatchObject({ spec: { nodeName: 'n1' }, status: { conditions: [{ type: 'PodScheduled', status: 'True' }] } });

    const marked = (await server.ask(`${pods}/bound`, { method: 'DELETE', body: { gracePeriodSeconds: 20 } })).json<{ metadata: { deletionTimestamp: string; deletionGracePeriodSeconds: number } }>();
    expect(marked.metadata.deletionGracePeriodSeconds).toBe(20);
    const later = (await server.ask(`${pods}/bound`, { method: 'DELETE', body: { gracePeriodSeconds: 60 } })).json();
    expect(later).toEqual(marked);
    await server.ask(`${pods}/bound`, { method: 'DELETE', body: { gracePeriodSeconds: 0, preconditions: { uid: 'other' } } }).then((answer) => { expect(answer.status).toBe(409); });
    expect((await server.ask(`${pods}/bound`, { method: 'DELETE', body: { gracePeriodSeconds: 0 } })).status).toBe(200);
    expect((await server.ask(`${pods}/bound`)).status).toBe(404);
  });

  it('go at once while no node has them', async () => {
    await server.ask(pods, { method: 'POST', body: podOf('early') });
    expect((await server.ask(`${pods}/early`, { method: 'DELETE' })).json()).toMatchObject({ kind: 'Pod' });
    expect((await server.ask(`${pods}/early`)).status).toBe(404);
  });

  it('can be deleted together', async () => {
    for (const name of ['x1', 'x2']) await server.ask(pods, { method: 'POST', body: { ...podOf(name) as object, metadata: { name, labels: { batch: 'yes' } } } });
    const list = (await server.ask(`${pods}?labelSelector=batch%3Dyes`, { method: 'DELETE' })).json<{ items: unknown[] }>();
    expect(list.items).toHaveLength(2);
    expect((await server.ask(`${pods}?labelSelector=batch%3Dyes`)).json<{ items: unknown[] }>().items).toEqual([]);
  });
});

describe('deployments', () => {
  const url = '/apis/apps/v1/namespaces/default/deployments';
  const body = { metadata: { name: 'web' }, spec: { replicas: 2, selector: { matchLabels: { app: 'web' } }, template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ name: 'c', image: 'busybox' }] } } } };

  it('have a status and a scale of their own', async () => {
    expect((await server.ask(url, { method: 'POST', body })).json()).toMatchObject({ metadata: { generation: 1 }, spec: { strategy: { type: 'RollingUpdate' }, progressDeadlineSeconds: 600 } });
    expect((await server.ask(`${url}/web/scale`)).json()).toMatchObject({ kind: 'Scale', apiVersion: 'autoscaling/v1', spec: { replicas: 2 }, status: { replicas: 0, selector: 'app=web' } });
    const scaled = await server.ask(`${url}/web/scale`, { method: 'PATCH', body: { spec: { replicas: 5 } }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect(scaled.json()).toMatchObject({ kind: 'Scale', spec: { replicas: 5 } });
    const status = await server.ask(`${url}/web/status`, { method: 'PATCH', body: { spec: { replicas: 9 }, status: { replicas: 5 } }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect(status.json()).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 5 }, status: { replicas: 5 } });
    expect((await server.ask(`${url}/web/scale`, { method: 'PUT', body: { spec: { replicas: -1 } } })).status).toBe(422);
    expect((await server.ask(`${url}/web/nonsense`)).status).toBe(404);
  });

  it('wait for their finalizers', async () => {
    const marked = (await server.ask(`${url}/web`, { method: 'DELETE', body: { propagationPolicy: 'Foreground' } })).json();
    expect(marked).toMatchObject({ metadata: { finalizers: ['foregroundDeletion'], deletionGracePeriodSeconds: 0 } });
    await server.ask(`${url}/web`, { method: 'PATCH', body: { metadata: { finalizers: null } }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect((await server.ask(`${url}/web`)).status).toBe(404);
  });
});

describe('namespaces', () => {
  it('must exist, cannot be Kubernetes\' own to be deleted, and refuse new objects while they go', async () => {
    expect((await server.ask('/api/v1/namespaces/nowhere/configmaps', { method: 'POST', body: { metadata: { name: 'a' } } })).json()).toMatchObject({ code: 404, message: 'namespaces "nowhere" not found' });
    expect((await server.ask('/api/v1/namespaces/default', { method: 'DELETE' })).json()).toMatchObject({ code: 403, message: 'namespaces "default" is forbidden: this namespace may not be deleted' });
    await server.ask('/api/v1/namespaces', { method: 'POST', body: { metadata: { name: 'brief' } } });
    const going = (await server.ask('/api/v1/namespaces/brief', { method: 'DELETE' })).json<{ metadata: { deletionTimestamp: string }; spec: { finalizers: string[] } }>();
    expect(going).toMatchObject({ status: { phase: 'Terminating' }, spec: { finalizers: ['kubernetes'] } });
    expect((await server.ask('/api/v1/namespaces/brief/configmaps', { method: 'POST', body: { metadata: { name: 'a' } } })).json()).toMatchObject({
      code: 403, message: 'configmaps "a" is forbidden: unable to create new content in namespace brief because it is being terminated', details: { causes: [{ reason: 'NamespaceTerminating' }] },
    });
    await server.ask('/api/v1/namespaces/brief/finalize', { method: 'PUT', body: { ...going, spec: {} } });
    expect((await server.ask('/api/v1/namespaces/brief')).status).toBe(404);
  });
});

describe('services', () => {
  const url = '/api/v1/namespaces/default/services';
  interface Service { spec: { clusterIP: string; clusterIPs: string[]; ports: { nodePort?: number }[]; type: string } }
  const create = async (name: string, spec: object): ReturnType<TestServer['ask']> => server.ask(url, { method: 'POST', body: { metadata: { name }, spec: { ports: [{ port: 80 }], ...spec } } });

  it('get addresses and node ports of their own, however many come at once', async () => {
    expect((await server.ask(`${url}/kubernetes`)).json()).toMatchObject({ spec: { clusterIP: '10.43.0.1' } });
    const made = await Promise.all(Array.from({ length: 40 }, (_, i) => create(`svc-${String(i)}`, { type: 'NodePort' })));
    const services = made.map((answer) => answer.json<Service>());
    expect(new Set(services.map((service) => service.spec.clusterIP)).size).toBe(40);
    expect(new Set(services.map((service) => service.spec.ports[0]?.nodePort)).size).toBe(40);
  });

  it('refuse what is taken or out of range, in Kubernetes\' words, and give back on delete', async () => {
    const first = (await create('one', { type: 'NodePort', clusterIP: '10.43.7.7', ports: [{ port: 80, nodePort: 30_007 }] })).json<Service>();
    expect(first.spec).toMatchObject({ clusterIP: '10.43.7.7', clusterIPs: ['10.43.7.7'] });
    expect((await create('two', { clusterIP: '10.43.7.7' })).json<{ message: string }>().message).toBe('Service "two" is invalid: spec.clusterIPs: Invalid value: ["10.43.7.7"]: failed to allocate IP 10.43.7.7: provided IP is already allocated');
    expect((await create('two', { clusterIP: '10.44.0.1' })).json<{ message: string }>().message).toContain('the provided IP (10.44.0.1) is not in the valid range. The range of valid IPs is 10.43.0.0/16');
    expect((await create('two', { type: 'NodePort', ports: [{ port: 80, nodePort: 30_007 }] })).json<{ message: string }>().message).toBe('Service "two" is invalid: spec.ports[0].nodePort: Invalid value: 30007: provided port is already allocated');
    expect((await create('two', { type: 'NodePort', ports: [{ port: 80, nodePort: 80 }] })).json<{ message: string }>().message).toContain('The range of valid ports is 30000-32767');
    expect((await create('two', { clusterIP: '10.43.0.10' })).status).toBe(422);
    await server.ask(`${url}/one`, { method: 'DELETE' });
    expect((await create('two', { type: 'NodePort', clusterIP: '10.43.7.7', ports: [{ port: 80, nodePort: 30_007 }] })).status).toBe(201);
  });

  it('keep what was allocated when an update does not mention it', async () => {
    const made = (await create('keep', { type: 'NodePort' })).json<Service>();
    const put = await server.ask(`${url}/keep`, { method: 'PUT', body: { metadata: { name: 'keep' }, spec: { type: 'NodePort', ports: [{ port: 80, name: 'http' }] } } });
    expect(put.json()).toMatchObject({ spec: { clusterIP: made.spec.clusterIP, ports: [{ nodePort: made.spec.ports[0]?.nodePort }] } });
    const plain = (await server.ask(`${url}/keep`, { method: 'PUT', body: { metadata: { name: 'keep' }, spec: { type: 'ClusterIP', ports: [{ port: 80 }] } } })).json<Service>();
    expect(plain.spec.ports[0]?.nodePort).toBeUndefined();
    expect((await create('headless', { clusterIP: 'None' })).json()).toMatchObject({ spec: { clusterIP: 'None', clusterIPs: ['None'] } });
  });
});

describe('who may ask', () => {
  it('tells certificates and tokens, good and bad, apart', async () => {
    expect((await server.ask(pods, { identity: 'none' })).json()).toMatchObject({ kind: 'Status', code: 401, reason: 'Unauthorized', message: 'Unauthorized' });
    expect((await server.ask(pods, { identity: server.identity('old', ['system:masters'], -1000) })).status).toBe(401);
    expect((await server.ask(pods, { identity: 'none', headers: { authorization: 'Bearer nonsense' } })).status).toBe(401);
    expect((await server.ask(pods, { identity: 'none', headers: { authorization: 'Bearer secret-token' } })).status).toBe(200);
    for (const path of ['/healthz', '/livez', '/readyz', '/version', '/cacerts']) expect((await server.ask(path, { identity: 'none' })).status).toBe(200);
  });

  it('refuses others in Kubernetes\' words, and lets them ask what they may do', async () => {
    const jane = { identity: 'none', headers: { authorization: 'Bearer weak-token' } } as const;
    expect((await server.ask(pods, jane)).json()).toMatchObject({ code: 403, reason: 'Forbidden', message: 'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"' });
    expect((await server.ask('/apis/apps/v1/deployments', jane)).json()).toMatchObject({ message: 'deployments.apps is forbidden: User "jane" cannot list resource "deployments" in API group "apps" at the cluster scope' });
    expect((await server.ask('/api/v1/nodes/n1', jane)).json()).toMatchObject({ message: 'nodes "n1" is forbidden: User "jane" cannot get resource "nodes" in API group "" at the cluster scope' });
    expect((await server.ask('/metrics', jane)).json()).toMatchObject({ message: 'forbidden: User "jane" cannot get path "/metrics"' });
    expect((await server.ask('/apis', jane)).status).toBe(200);
    const review = { method: 'POST', body: { spec: { resourceAttributes: { verb: 'list', resource: 'pods' } } } };
    const reviews = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews';
    expect((await server.ask(reviews, { ...review, identity: 'none', headers: jane.headers })).json()).toMatchObject({ status: { allowed: false } });
    expect((await server.ask(reviews, review)).json()).toMatchObject({ status: { allowed: true } });
  });
});

describe('what is not right', () => {
  it.each([
    ['GET', '/nothing', undefined, {}, 404, 'NotFound'],
    ['GET', '/api/v1/nothing', undefined, {}, 404, 'NotFound'],
    ['GET', '/apis/apps/v9/deployments', undefined, {}, 404, 'NotFound'],
    ['GET', '/api/v1/namespaces/default/nodes', undefined, {}, 404, 'NotFound'],
    ['GET', '/api/v1/namespaces/default/pods/%2e%2e%2fsecrets', undefined, {}, 404, 'NotFound'],
    ['GET', '/api/v1/namespaces/../pods', undefined, {}, 404, 'NotFound'],
    ['GET', '/api/v1/namespaces/default/pods/%zz', undefined, {}, 400, 'BadRequest'],
    ['POST', '/api/v1/pods', '{}', {}, 405, 'MethodNotAllowed'],
    ['PUT', configMaps, '{}', {}, 405, 'MethodNotAllowed'],
    ['POST', '/healthz', '', {}, 405, 'MethodNotAllowed'],
    ['OPTIONS', configMaps, undefined, {}, 405, 'MethodNotAllowed'],
    ['POST', configMaps, '{"metadata":', {}, 400, 'BadRequest'],
    ['POST', configMaps, '', {}, 400, 'BadRequest'],
    ['POST', configMaps, '[]', {}, 400, 'BadRequest'],
    ['POST', configMaps, `${'['.repeat(5000)}${']'.repeat(5000)}`, {}, 400, 'BadRequest'],
    ['POST', configMaps, '{"kind":"Pod"}', {}, 400, 'BadRequest'],
    ['POST', configMaps, 'x', { 'content-type': 'application/vnd.kubernetes.protobuf' }, 400, 'BadRequest'],
    ['POST', configMaps, 'x', { 'content-type': 'text/plain' }, 415, 'UnsupportedMediaType'],
    ['PATCH', `${configMaps}/a`, '{}', { 'content-type': 'application/json' }, 415, 'UnsupportedMediaType'],
    ['POST', configMaps, 'x'.repeat((3 << 20) + 1), {}, 413, 'RequestEntityTooLarge'],
    ['GET', `${configMaps}?x=${'y'.repeat(40_000)}`, undefined, {}, 413, 'RequestEntityTooLarge'],
  ] as const)('%s %s', async (method, path, body, headers, code, reason) => {
    const answer = await server.ask(path, { method, ...(body !== undefined && { body }), headers });
    expect(answer.json()).toMatchObject({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason });
    expect(answer.status).toBe(code);
  });
});
