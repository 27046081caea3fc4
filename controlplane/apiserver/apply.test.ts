import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { TestServer, type Answer } from './test-server.ts';

/** Server-side apply over the wire; what it decides is tested beside its functions. */
let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });

const configMaps = '/api/v1/namespaces/default/configmaps';
const deployments = '/apis/apps/v1/namespaces/default/deployments';
interface Thing { metadata: { name: string; uid: string; resourceVersion: string; generation?: number; managedFields?: { manager: string; operation: string; subresource?: string; fieldsV1: Record<string, unknown> }[] }; data?: Record<string, string>; spec: { replicas: number }; status: Record<string, unknown> }
const apply = (path: string, body: unknown, query = 'fieldManager=me'): Promise<Answer> => server.ask(`${path}?${query}`, { method: 'PATCH', body, headers: { 'content-type': 'application/apply-patch+yaml' } });
const configMap = (name: string, data: Record<string, string>): unknown => ({ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, data });
const deployment = (name: string, spec: object = {}): unknown => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name }, spec: { selector: { matchLabels: { a: 'b' } }, template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i', ports: [{ containerPort: 80 }] }] } }, ...spec } });
const managers = (thing: Thing): string[] => thing.metadata.managedFields?.map(({ manager, operation, subresource = '' }) => [manager, operation, subresource].join(' ').trim()) ?? [];

describe('server-side apply', () => {
  it('makes, changes, writes nothing for no change, and takes away', async () => {
    const made = await apply(`${configMaps}/one`, 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata:\n  a: "1"\n  b: "2"\n');
    expect(made.status).toBe(201);
    const again = await apply(`${configMaps}/one`, configMap('one', { a: '1', b: '2' }));
    expect([again.status, again.json()]).toEqual([200, made.json()]);
    expect((await apply(`${configMaps}/one`, configMap('one', { a: '1' }))).json<Thing>().data).toEqual({ a: '1' });
  });

  it('writes nothing when what is empty, which is owned and not kept, is said again later', async () => {
    const clock = new ManualClock();
    const timed = await TestServer.start({ clock });
    const say = (): Promise<Answer> => timed.ask(`${configMaps}/empty?fieldManager=me`, { method: 'PATCH', body: { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'empty', finalizers: [], labels: {} }, data: {} }, headers: { 'content-type': 'application/apply-patch+yaml' } });
    const first = (await say()).json<Thing>();
    expect(first).not.toHaveProperty('data');
    expect(first.metadata).not.toHaveProperty('finalizers');
    await clock.advance(5000);
    expect((await say()).json()).toEqual(first);
    await timed.stop();
  });

  it('refuses items of a list that nobody could tell apart', async () => {
    const env = [{ name: 'A', value: '1' }, { name: 'A', value: '2' }];
    const ports = [{ containerPort: 80 }, { containerPort: 80, protocol: 'TCP' }];
    const refused = await apply(`${deployments}/twice`, deployment('twice', { template: { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i', env, ports }] } } }));
    const path = '.spec.template.spec.containers[name="c"]';
    expect(refused.json()).toMatchObject({ code: 400, message: `failed to create typed patch object (default/twice; apps/v1, Kind=Deployment): errors:\n  ${path}.env: duplicate entries for key [name="A"]\n  ${path}.ports: duplicate entries for key [containerPort=80,protocol="TCP"]` });
  });

  it('tells who stands in the way, and goes on when forced', async () => {
    await apply(`${configMaps}/shared`, configMap('shared', { a: '1' }));
    const refused = await apply(`${configMaps}/shared`, configMap('shared', { a: '2' }), 'fieldManager=other');
    expect(refused.json()).toMatchObject({ code: 409, reason: 'Conflict', message: 'Apply failed with 1 conflict: conflict with "me": .data.a', details: { causes: [{ reason: 'FieldManagerConflict', field: '.data.a' }] } });
    expect((await apply(`${configMaps}/shared`, configMap('shared', { a: '2' }), 'fieldManager=other&force=true')).json<Thing>().data).toEqual({ a: '2' });
  });

  it('fills in defaults that nobody owns, and follows who writes by other ways', async () => {
    const made = (await apply(`${deployments}/web`, deployment('web', { replicas: 1 }))).json<Thing>();
    expect(JSON.stringify(made.metadata.managedFields)).not.toContain('progressDeadlineSeconds');
    expect(made).toMatchObject({ spec: { progressDeadlineSeconds: 600 }, metadata: { generation: 1 } });
    await server.ask(`${deployments}/web/scale`, { method: 'PATCH', body: { spec: { replicas: 3 } }, headers: { 'content-type': 'application/merge-patch+json', 'user-agent': 'scaler/v1 (test)' } });
    await server.ask(`${deployments}/web/status?fieldManager=reporter`, { method: 'PATCH', body: { status: { replicas: 3 } }, headers: { 'content-type': 'application/merge-patch+json' } });
    const now = (await server.ask(`${deployments}/web`)).json<Thing>();
    expect(managers(now).sort()).toEqual(['me Apply', 'reporter Update status', 'scaler Update scale']);
    expect((await apply(`${deployments}/web`, deployment('web', { replicas: 1 }))).json()).toMatchObject({ code: 409, message: 'Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using apps/v1: .spec.replicas' });
    // Who leaves the field to the other has no quarrel with it.
    expect((await apply(`${deployments}/web`, deployment('web'))).json()).toMatchObject({ spec: { replicas: 3 }, status: { replicas: 3 } });
    const status = await apply(`${deployments}/web/status`, { ...deployment('web') as object, status: { observedGeneration: 7 } }, 'fieldManager=controller');
    expect(status.json<Thing>().status).toEqual({ replicas: 3, observedGeneration: 7 });
    expect(managers(status.json())).toContain('controller Apply status');
  });

  it('keeps owners of objects that nobody applies, too, and forgets them when told', async () => {
    const made = (await server.ask(`${configMaps}?fieldManager=maker`, { method: 'POST', body: configMap('plain', { a: '1' }) })).json<Thing>();
    expect(made.metadata.managedFields).toEqual([{ manager: 'maker', operation: 'Update', apiVersion: 'v1', time: expect.stringMatching(/Z$/) as string, fieldsType: 'FieldsV1', fieldsV1: { 'f:data': { '.': {}, 'f:a': {} } } }]);
    const merge = (name: string, body: unknown): Promise<Answer> => server.ask(`${configMaps}/${name}`, { method: 'PATCH', body, headers: { 'content-type': 'application/merge-patch+json', 'user-agent': 'changer/v1' } });
    expect(managers((await merge('plain', { data: { b: '2' } })).json()).sort()).toEqual(['changer Update', 'maker Update']);
    const nameless = await server.ask(deployments, { method: 'POST', body: { metadata: { name: 'nameless' }, spec: { template: { spec: { containers: [{ image: 'x' }] } } } } });
    expect(nameless.json()).toMatchObject({ code: 422, message: expect.stringContaining('spec.template.spec.containers[0].name: Required value') as string });
    expect(managers((await merge('one', { metadata: { managedFields: [{}] } })).json())).toEqual([]);
    expect(managers((await merge('plain', { metadata: { managedFields: [] } })).json())).toHaveLength(2);
    expect(managers((await merge('plain', { metadata: { managedFields: [{ manager: 'broken', operation: 'Guess' }] } })).json())).toHaveLength(2);
  });

  it('takes over from the older way of applying without a quarrel, and keeps its annotation true', async () => {
    const said = configMap('moved', { a: '1', b: '1' }) as Thing;
    const annotated = { ...said, metadata: { ...said.metadata, annotations: { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(said) } } };
    await server.ask(`${configMaps}?fieldManager=kubectl-client-side-apply`, { method: 'POST', body: annotated });
    expect((await apply(`${configMaps}/moved`, configMap('moved', { a: '2' }), 'fieldManager=other')).status).toBe(409);
    const moved = (await apply(`${configMaps}/moved`, configMap('moved', { a: '2' }), 'fieldManager=kubectl')).json<Thing>();
    expect(moved.data).toEqual({ a: '2', b: '1' });
    expect(JSON.parse((moved.metadata as { annotations?: Record<string, string> }).annotations?.['kubectl.kubernetes.io/last-applied-configuration'] ?? '')).toMatchObject({ data: { a: '2' } });
  });

  it('goes through scale as well: the replicas have one owner, whoever sets them how', async () => {
    await apply(`${deployments}/scaled`, deployment('scaled', { replicas: 1 }));
    const scale = (replicas: number): unknown => ({ apiVersion: 'autoscaling/v1', kind: 'Scale', metadata: { name: 'scaled' }, spec: { replicas } });
    expect((await apply(`${deployments}/scaled/scale`, scale(2), 'fieldManager=scaler')).json()).toMatchObject({ code: 409, message: 'Apply failed with 1 conflict: conflict with "me": .spec.replicas' });
    const forced = (await apply(`${deployments}/scaled/scale`, scale(2), 'fieldManager=scaler&force=true')).json<Thing>();
    expect(forced).toMatchObject({ kind: 'Scale', spec: { replicas: 2 }, metadata: { managedFields: [{ manager: 'scaler', operation: 'Apply', subresource: 'scale', apiVersion: 'autoscaling/v1', fieldsV1: { 'f:spec': { 'f:replicas': {} } } }] } });
    expect(managers((await server.ask(`${deployments}/scaled`)).json())).toEqual(['me Apply', 'scaler Apply scale']);
    expect((await apply(`${deployments}/scaled/scale`, deployment('scaled'), 'fieldManager=scaler')).status).toBe(400);
    const put = (body: unknown, query = ''): Promise<Answer> => server.ask(`${deployments}/scaled/scale${query}`, { method: 'PUT', body });
    expect((await put({ ...scale(3) as object, bogus: 1 }, '?fieldValidation=Strict')).json()).toMatchObject({ code: 400, message: expect.stringContaining('unknown field "bogus"') as string });
    expect((await put({ metadata: { name: 'scaled' }, spec: { replicas: -1 } })).json()).toMatchObject({ code: 422, message: 'Scale.autoscaling "scaled" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0' });
  });

  it('takes null for a value that is taken away and owned, and nothing said where a map or a list stands', async () => {
    await apply(`${deployments}/nulls`, deployment('nulls', { replicas: 3, paused: true }));
    const said = (fields: object): unknown => ({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'nulls' }, spec: fields });
    expect((await apply(`${deployments}/nulls`, said({ replicas: null }), 'fieldManager=other')).json()).toMatchObject({ code: 409, message: 'Apply failed with 1 conflict: conflict with "me": .spec.replicas' });
    const forced = (await apply(`${deployments}/nulls`, said({ replicas: null, selector: null, template: null }), 'fieldManager=other&force=true')).json<Thing>();
    expect(forced.spec).toMatchObject({ replicas: 1, paused: true, selector: { matchLabels: { a: 'b' } } });
    expect(forced.metadata.managedFields?.find(({ manager }) => manager === 'other')?.fieldsV1).toEqual({ 'f:spec': { 'f:replicas': {} } });
    const made = await apply(`${configMaps}/nulls`, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'nulls', labels: null }, immutable: null, data: { a: null, b: 'x' } });
    expect(made.json()).toMatchObject({ data: { a: '', b: 'x' } });
    expect(made.json()).not.toHaveProperty('immutable');
  });

  it.each([
    ['no manager', `${configMaps}/bad`, configMap('bad', {}), '', 422, 'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'],
    ['a manager too long', `${configMaps}/bad`, configMap('bad', {}), `fieldManager=${'x'.repeat(200)}`, 422, 'fieldManager: Too long: may not be more than 128 bytes'],
    ['no kind', `${configMaps}/bad`, { apiVersion: 'v1', metadata: { name: 'bad' } }, 'fieldManager=me', 400, 'must name its apiVersion and kind'],
    ['another name', `${configMaps}/bad`, configMap('other', {}), 'fieldManager=me', 400, 'does not match the name on the URL'],
    ['managedFields', `${configMaps}/bad`, { ...configMap('bad', {}) as object, metadata: { name: 'bad', managedFields: [] } }, 'fieldManager=me', 400, 'metadata.managedFields must be nil'],
    ['an unknown field', `${configMaps}/bad`, { ...configMap('bad', {}) as object, bogus: 1 }, 'fieldManager=me', 400, 'failed to create typed patch object (default/bad; /v1, Kind=ConfigMap): .bogus: field not declared in schema'],
    ['what would be invalid', `${deployments}/bad`, { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'bad' }, spec: { replicas: 1 } }, 'fieldManager=me', 422, 'spec.selector: Required value'],
    ['a stale version', `${configMaps}/shared`, { ...configMap('shared', { a: '2' }) as object, metadata: { name: 'shared', resourceVersion: '1' } }, 'fieldManager=other', 409, 'the object has been modified'],
    ['a status of nothing', `${deployments}/nothing/status`, deployment('nothing'), 'fieldManager=me', 404, 'not found'],
  ])('refuses %s', async (_, path, body, query, code, message) => {
    expect((await apply(path, body, query)).json()).toMatchObject({ code, message: expect.stringContaining(message) as string });
  });

  it('does nothing for a dry run, and settles a race to make the same object', async () => {
    expect((await apply(`${configMaps}/dry`, configMap('dry', {}), 'fieldManager=me&dryRun=All')).status).toBe(201);
    expect((await server.ask(`${configMaps}/dry`)).status).toBe(404);
    const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => apply(`${configMaps}/raced`, configMap('raced', { [`k${String(i)}`]: 'v' }), `fieldManager=m${String(i)}`)));
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(7);
    const raced = (await server.ask(`${configMaps}/raced`)).json<Thing>();
    expect(Object.keys(raced.data ?? {})).toHaveLength(8);
    expect(managers(raced)).toHaveLength(8);
  });
});
