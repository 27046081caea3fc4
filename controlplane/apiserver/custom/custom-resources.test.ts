import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { customResourceDefinitionController } from '#controlplane/controllers/custom-resource-definition/controller.ts';
import { ControllerManager } from '#controlplane/controllers/manager.ts';
import { Informers } from '#controlplane/cache/informers.ts';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { TestServer, type Answer } from '../test-server.ts';

type Json = Record<string, unknown>;

let server: TestServer;
let stop: AbortController;
let running: Promise<unknown>;

beforeEach(async () => {
  server = await TestServer.start();
  stop = new AbortController();
  const informers = new Informers({ store: server.store, log: silentLog });
  const manager = new ControllerManager({
    controllers: { definitions: customResourceDefinitionController }, informers, clock: systemClock, log: silentLog, random: () => 0.5,
    client: server.api.client({ name: 'system:controllers', groups: ['system:masters'] }), recorder: (component) => server.api.recorder({ component }),
  }, { podCidr: '10.42.0.0/16', nodeCidrMaskSize: 24, nodeMonitorGracePeriodMs: 40_000, burstReplicas: 500, rootCa: '', resources: [] });
  running = Promise.all([informers.start(stop.signal), manager.start(stop.signal)]);
});
afterEach(async () => {
  stop.abort();
  await running;
  await server.stop();
});

const definitions = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const crontabs = '/apis/stable.example.com/v1/namespaces/default/crontabs';

function version(name: string, properties: Json, more: Json = {}): Json {
  return { name, served: true, storage: true, schema: { openAPIV3Schema: { type: 'object', properties } }, ...more };
}

function definition(versions: readonly Json[], spec: Json = {}): Json {
  return {
    apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: { name: 'crontabs.stable.example.com' },
    spec: { group: 'stable.example.com', scope: 'Namespaced', names: { plural: 'crontabs', kind: 'CronTab', shortNames: ['ct'] }, versions, ...spec },
  };
}

const specSchema = { spec: { type: 'object', properties: { cron: { type: 'string' }, replicas: { type: 'integer', minimum: 1, default: 1 }, free: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } } } };

async function until<T>(what: () => Promise<T | undefined | false>): Promise<T> {
  for (let i = 0; i < 200; i++) {
    const found = await what();
    if (found) return found;
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
  throw new Error('waited too long');
}

async function define(body: Json): Promise<void> {
  const answer = await server.ask(definitions, { method: 'POST', body });
  expect(answer.text).toContain('"kind":"CustomResourceDefinition"');
  expect(answer.status).toBe(201);
  await until(async () => (await server.ask(crontabs)).status === 200);
}

const create = (spec: Json, name = 'one'): Promise<Answer> => server.ask(crontabs, { method: 'POST', body: { apiVersion: 'stable.example.com/v1', kind: 'CronTab', metadata: { name }, spec } });

describe('a CustomResourceDefinition', () => {
  it('serves its kind: prunes, defaults, validates and lists', async () => {
    await define(definition([version('v1', specSchema, { additionalPrinterColumns: [{ name: 'Cron', type: 'string', jsonPath: '.spec.cron' }] })]));
    const made = await create({ cron: '* * *', bogus: 1, free: { a: { b: null } } });
    expect(made.status).toBe(201);
    expect(made.json()['spec']).toEqual({ cron: '* * *', replicas: 1, free: { a: { b: null } } });
    expect(made.headers['warning']).toContain('unknown field');
    const held = await server.ask(`${crontabs}?dryRun=All`, { method: 'POST', body: { apiVersion: 'stable.example.com/v1', kind: 'CronTab', metadata: { name: 'held', finalizers: ['mine', 'example.com/mine'] } } });
    expect(held.headers['warning']).toBe('299 - "metadata.finalizers: \\"mine\\": prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"');
    const refused = await create({ cron: 5, replicas: 0 }, 'two');
    expect(refused.status).toBe(422);
    expect(refused.json()['message']).toBe('CronTab.stable.example.com "two" is invalid: [spec.cron: Invalid value: "integer": spec.cron in body must be of type string: "integer", spec.replicas: Invalid value: 0: spec.replicas in body should be greater than or equal to 1]');
    const table = await server.ask(crontabs, { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } });
    expect(table.json<{ rows: { cells: unknown[] }[] }>().rows[0]?.cells).toEqual(['one', '* * *']);
    const discovered = await server.ask('/apis/stable.example.com/v1');
    expect(discovered.json<{ resources: { name: string; shortNames: string[] }[] }>().resources[0]).toMatchObject({ name: 'crontabs', singularName: 'crontab', shortNames: ['ct'], namespaced: true });
    expect((await server.ask('/openapi/v3')).text).toContain('apis/stable.example.com/v1');
    expect((await server.ask('/openapi/v3/apis/stable.example.com/v1')).text).toContain('com.example.stable.v1.CronTab');
  });

  it('applies a changed definition at once, defaults stored objects, and keeps all of it over a restart', async () => {
    await define(definition([version('v1', { spec: { type: 'object', properties: { cron: { type: 'string' } } } })]));
    await create({ cron: 'a' });
    const changed = definition([version('v1', specSchema)]);
    await server.ask(`${definitions}/crontabs.stable.example.com`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: changed });
    await until(async () => (await server.ask(`${crontabs}/one`)).text.includes('"replicas":1'));
    await server.restart();
    expect((await server.ask(`${crontabs}/one`)).json()['spec']).toEqual({ cron: 'a', replicas: 1 });
    expect((await server.ask(crontabs)).text).toContain('"replicas":1');
  });

  it('deletes its objects before it goes, and takes no new ones', async () => {
    await define(definition([version('v1', specSchema)]));
    await create({ cron: 'a' });
    const held = await server.ask(`${crontabs}/one`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { metadata: { finalizers: ['example.com/hold'] } } });
    expect(held.status).toBe(200);
    const deleted = await server.ask(`${definitions}/crontabs.stable.example.com`, { method: 'DELETE' });
    expect(deleted.json<{ metadata: { finalizers: string[] } }>().metadata.finalizers).toEqual(['customresourcecleanup.apiextensions.k8s.io']);
    await until(async () => (await server.ask(`${definitions}/crontabs.stable.example.com`)).text.includes('InstanceDeletionInProgress'));
    expect((await create({ cron: 'b' }, 'two')).json()['message']).toBe('create not allowed while custom resource definition is terminating');
    await server.ask(`${crontabs}/one`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { metadata: { finalizers: null } } });
    await until(async () => (await server.ask(`${definitions}/crontabs.stable.example.com`)).status === 404);
    expect((await server.ask(crontabs)).status).toBe(404);
    expect((await server.ask('/apis/stable.example.com/v1')).status).toBe(404);
  });

  it('serves several versions of what is stored in one', async () => {
    await define(definition([
      version('v1', specSchema, { storage: false }),
      version('v2', { spec: { type: 'object', properties: { cron: { type: 'string' }, extra: { type: 'string', default: 'x' } } } }),
      version('v1beta1', specSchema, { storage: false, deprecated: true }),
    ]));
    await create({ cron: 'a' });
    const v2 = await server.ask('/apis/stable.example.com/v2/namespaces/default/crontabs/one');
    expect(v2.json()).toMatchObject({ apiVersion: 'stable.example.com/v2', spec: { cron: 'a', extra: 'x' } });
    expect((await server.ask(`${crontabs}/one`)).json()).toMatchObject({ apiVersion: 'stable.example.com/v1', spec: { cron: 'a' } });
    const old = await server.ask('/apis/stable.example.com/v1beta1/namespaces/default/crontabs');
    expect(old.headers['warning']).toContain('stable.example.com/v1beta1 CronTab is deprecated');
    expect(old.json<{ items: Json[] }>().items[0]?.['apiVersion']).toBe('stable.example.com/v1beta1');
    const group = await server.ask('/apis/stable.example.com');
    expect(group.json<{ versions: { version: string }[] }>().versions.map((one) => one.version)).toEqual(['v2', 'v1', 'v1beta1']);
  });

  it('stores in another version from then on, and what is written again too', async () => {
    const versions = (storage: string): Json[] => ['v1', 'v2'].map((name) => version(name, specSchema, { storage: name === storage }));
    await define(definition(versions('v1')));
    await create({ cron: 'a' });
    const storedAs = async (): Promise<unknown> => (JSON.parse(Buffer.from((await server.store.get('stable.example.com/crontabs/default/one'))?.value ?? []).toString()) as Json)['apiVersion'];
    expect(await storedAs()).toBe('stable.example.com/v1');
    const changed = await server.ask(`${definitions}/crontabs.stable.example.com`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: definition(versions('v2')) });
    expect(changed.json<{ status: { storedVersions: string[] } }>().status.storedVersions).toEqual(['v1', 'v2']);
    const one = await server.ask(`${crontabs}/one`);
    await until(async () => (await server.ask(`${crontabs}/one`, { method: 'PUT', body: one.json() })).status === 200 && await storedAs() === 'stable.example.com/v2');
    expect((await server.ask(`${crontabs}/one`)).json()).toMatchObject({ apiVersion: 'stable.example.com/v1', metadata: { generation: 1 }, spec: { cron: 'a' } });
  });

  it('takes objects with it of which no version is served', async () => {
    await define(definition([version('v1', specSchema)]));
    await create({ cron: 'a' });
    await server.ask(`${definitions}/crontabs.stable.example.com`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: definition([version('v1', specSchema, { served: false })]) });
    await until(async () => (await server.ask(crontabs)).status === 404);
    await server.ask(`${definitions}/crontabs.stable.example.com`, { method: 'DELETE' });
    await until(async () => (await server.ask(`${definitions}/crontabs.stable.example.com`)).status === 404);
    expect(server.store.count('stable.example.com/')).toBe(0);
  });

  it('has status and scale where it asks for them', async () => {
    const status = { status: { type: 'object', properties: { replicas: { type: 'integer' }, selector: { type: 'string' } } } };
    await define(definition([version('v1', { ...specSchema, ...status }, { subresources: { status: {}, scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas', labelSelectorPath: '.status.selector' } } })]));
    await server.ask(crontabs, { method: 'POST', body: { apiVersion: 'stable.example.com/v1', kind: 'CronTab', metadata: { name: 'one' }, spec: { cron: 'a' }, status: { replicas: 9 } } });
    const merge = { 'content-type': 'application/merge-patch+json' };
    const one = await server.ask(`${crontabs}/one`, { method: 'PATCH', headers: merge, body: { status: { replicas: 3 } } });
    expect(one.json()['status']).toBeUndefined();
    const patched = await server.ask(`${crontabs}/one/status`, { method: 'PATCH', headers: merge, body: { spec: { cron: 'b' }, status: { replicas: 3, selector: 'a=b' } } });
    expect(patched.json()).toMatchObject({ metadata: { generation: 1 }, spec: { cron: 'a' }, status: { replicas: 3 } });
    expect((await server.ask(`${crontabs}/one/scale`)).json()).toMatchObject({ kind: 'Scale', spec: { replicas: 1 }, status: { replicas: 3, selector: 'a=b' } });
    const scaled = await server.ask(`${crontabs}/one/scale`, { method: 'PATCH', headers: merge, body: { spec: { replicas: 4 } } });
    expect(scaled.json()).toMatchObject({ spec: { replicas: 4 } });
    expect((await server.ask(`${crontabs}/one`)).json()).toMatchObject({ metadata: { generation: 2 }, spec: { replicas: 4 } });
  });

  it('ends watches when it changes, and serves what it then is', async () => {
    await define(definition([version('v1', specSchema)]));
    await create({ cron: 'a' });
    const seen: string[] = [];
    for await (const { type } of server.lines(`${crontabs}?watch=1`, new AbortController().signal)) {
      seen.push(String(type));
      await server.ask(`${definitions}/crontabs.stable.example.com`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: definition([version('v1', { spec: { type: 'object', properties: {} } })]) });
    }
    expect(seen).toEqual(['ADDED']);
    expect((await server.ask(`${crontabs}/one`)).json()['spec']).toEqual({});
  });

  it('lets watches see its objects leave when it is deleted', async () => {
    await define(definition([version('v1', specSchema)]));
    await create({ cron: 'a' });
    const seen: string[] = [];
    for await (const { type } of server.lines(`${crontabs}?watch=1`, new AbortController().signal)) {
      seen.push(String(type));
      if (type === 'ADDED') await server.ask(`${definitions}/crontabs.stable.example.com`, { method: 'DELETE' });
    }
    expect(seen.at(-1)).toBe('DELETED');
  });

  it('gets no name that another of its group has', async () => {
    await define(definition([version('v1', specSchema)]));
    const other = { ...definition([version('v1', specSchema)], { names: { plural: 'tabs', singular: 'tab', kind: 'CronTab', shortNames: ['ct'] } }), metadata: { name: 'tabs.stable.example.com' } };
    await server.ask(definitions, { method: 'POST', body: other });
    type Status = { status: { conditions?: { type: string; status: string; reason: string; message: string }[] } };
    const conditions = await until(async () => (await server.ask(`${definitions}/tabs.stable.example.com`)).json<Status>().status.conditions);
    expect(conditions.map(({ type, status, reason }) => [type, status, reason])).toEqual([['NamesAccepted', 'False', 'ShortNamesConflict'], ['Established', 'False', 'NotAccepted']]);
    expect(conditions[0]?.message).toBe('"ct" is already in use, "CronTab" is already in use, "CronTabList" is already in use');
    expect((await server.ask('/apis/stable.example.com/v1/tabs')).status).toBe(404);
    await server.ask(`${definitions}/crontabs.stable.example.com`, { method: 'DELETE' });
    await until(async () => (await server.ask('/apis/stable.example.com/v1/tabs')).status === 200);
  });

  it('holds objects to rules, and rules to the schema', async () => {
    const withRule = (rule: string): Json => definition([version('v1', { spec: { type: 'object', properties: { a: { type: 'integer' } }, 'x-kubernetes-validations': [{ rule, message: 'a must be positive' }] } })]);
    const refused = await server.ask(definitions, { method: 'POST', body: withRule('self.b > 0') });
    expect(refused.status).toBe(422);
    expect(refused.json()['message']).toContain("x-kubernetes-validations[0].rule: Invalid value: \"self.b > 0\": compilation failed: ERROR: <input>:1:5: undefined field 'b'");
    await define(withRule('self.a > 0'));
    expect((await create({ a: 1 })).status).toBe(201);
    expect((await create({ a: 0 }, 'two')).json()['message']).toBe('CronTab.stable.example.com "two" is invalid: spec: Invalid value: "object": a must be positive');
  });

  it('takes the patches that custom resources take', async () => {
    await define(definition([version('v1', specSchema)]));
    await create({ cron: 'a', free: { x: { y: 1 } } });
    const patch = (type: string, body: unknown): Promise<Answer> => server.ask(`${crontabs}/one?fieldManager=m`, { method: 'PATCH', headers: { 'content-type': type }, body });
    expect((await patch('application/strategic-merge-patch+json', {})).status).toBe(415);
    expect((await patch('application/json-patch+json', [{ op: 'add', path: '/spec/replicas', value: 2 }])).json()['spec']).toMatchObject({ replicas: 2 });
    const applied = await patch('application/apply-patch+yaml', { apiVersion: 'stable.example.com/v1', kind: 'CronTab', metadata: { name: 'one' }, spec: { free: { x: { z: 2 } } } });
    expect(applied.json()['spec']).toEqual({ cron: 'a', replicas: 2, free: { x: { y: 1, z: 2 } } });
    expect(JSON.stringify(applied.json<{ metadata: { managedFields: unknown } }>().metadata.managedFields)).toContain('"f:free":{"f:x":{".":{},"f:z":{}}}');
  });
});
