import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FlowSchema, PriorityLevelConfiguration } from '#api/gen/types.ts';
import type { KubeList } from '#api/meta/object.ts';
import { TestServer } from '../test-server.ts';
import type { Attributes } from '../auth/types.ts';
import { classify, inOrder } from './classify.ts';
import { defaultLevels, defaultSchemas } from './default-objects.ts';

const user = (name: string, ...groups: string[]): Attributes['user'] => ({ name, groups: [...groups, 'system:authenticated'] });
const account = (namespace: string, name: string): Attributes['user'] => user(`system:serviceaccount:${namespace}:${name}`, 'system:serviceaccounts', `system:serviceaccounts:${namespace}`);
const on = (who: Attributes['user'], verb: string, plural: string, namespace?: string, group = '', subresource?: string): Attributes => ({ user: who, verb, resource: { group, version: 'v1', plural, subresource, namespace, name: undefined } });

describe('requests belong to the FlowSchemas that Kubernetes puts them in', () => {
  it.each([
    [on(user('admin', 'system:masters'), 'list', 'pods', 'a'), 'exempt'],
    [{ user: user('jane'), verb: 'get', path: '/healthz' }, 'probes'],
    [{ user: user('jane'), verb: 'get', path: '/metrics' }, 'global-default'],
    [on(user('jane'), 'list', 'pods'), 'global-default'],
    [on(account('a', 'default'), 'list', 'pods', 'a'), 'service-accounts'],
    [on(account('kube-system', 'default'), 'list', 'pods', 'a'), 'kube-system-service-accounts'],
    [on(account('kube-system', 'endpoint-controller'), 'update', 'endpoints', 'a'), 'endpoint-controller'],
    [on(account('kube-system', 'any'), 'update', 'leases', 'a', 'coordination.k8s.io'), 'system-leader-election'],
    [on(user('system:node:one', 'system:nodes'), 'update', 'nodes', undefined, '', 'status'), 'system-node-high'],
    [on(user('system:node:one', 'system:nodes'), 'get', 'pods', 'a'), 'system-nodes'],
    [on(user('system:kube-scheduler'), 'create', 'pods', 'a', '', 'binding'), 'kube-scheduler'],
  ])('%j', (attributes, expected) => {
    expect(classify(inOrder(defaultSchemas), attributes as Attributes)?.metadata?.name).toBe(expected);
  });

  it('by paths below one, and by namespaces only where there is one', () => {
    const schema: FlowSchema = { metadata: { name: 'x' }, spec: { priorityLevelConfiguration: { name: 'l' }, matchingPrecedence: 5, rules: [{ subjects: [{ kind: 'User', user: { name: '*' } }], resourceRules: [{ verbs: ['get'], apiGroups: [''], resources: ['pods'], namespaces: ['*'] }], nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['/a/*'] }] }] } };
    const matches = (attributes: Attributes): boolean => classify([schema], attributes) !== undefined;
    expect([matches({ user: user('x'), verb: 'get', path: '/a/b' }), matches({ user: user('x'), verb: 'get', path: '/ab' }), matches(on(user('x'), 'get', 'pods', 'n')), matches(on(user('x'), 'get', 'pods')), matches(on(user('x'), 'get', 'pods', 'n', '', 'log'))]).toEqual([true, false, true, false, false]);
  });
});

describe('a server', () => {
  let server: TestServer;
  const path = '/apis/flowcontrol.apiserver.k8s.io/v1';
  const schemas = async (): Promise<FlowSchema[]> => (await server.ask(`${path}/flowschemas`)).json<KubeList<FlowSchema>>().items;
  const levels = async (): Promise<PriorityLevelConfiguration[]> => (await server.ask(`${path}/prioritylevelconfigurations`)).json<KubeList<PriorityLevelConfiguration>>().items;
  beforeAll(async () => { server = await TestServer.start(); });
  afterAll(() => server.stop());

  it('has the default objects, says that no level is missing, and gives back what it loses', async () => {
    await expect.poll(async () => [(await schemas()).length, (await levels()).length], { timeout: 10_000 }).toEqual([defaultSchemas.length, defaultLevels.length]);
    await expect.poll(async () => (await schemas()).map(({ status }) => status?.conditions?.map(({ type, status: value }) => `${type}=${value}`).join()), { timeout: 10_000 }).toEqual(defaultSchemas.map(() => 'Dangling=False'));
    await server.ask(`${path}/flowschemas/catch-all`, { method: 'DELETE' });
    await server.ask(`${path}/prioritylevelconfigurations/workload-low`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { spec: { limited: { nominalConcurrencyShares: 7 } } } });
    await server.ask(`${path}/prioritylevelconfigurations/workload-high`, { method: 'PATCH', headers: { 'content-type': 'application/merge-patch+json' }, body: { metadata: { annotations: { 'apf.kubernetes.io/autoupdate-spec': 'false' } }, spec: { limited: { nominalConcurrencyShares: 7 } } } });
    const shares = async (name: string): Promise<number | undefined> => (await levels()).find(({ metadata }) => metadata?.name === name)?.spec?.limited?.nominalConcurrencyShares;
    await expect.poll(async () => [(await schemas()).some(({ metadata }) => metadata?.name === 'catch-all'), await shares('workload-low'), await shares('workload-high')], { timeout: 10_000 }).toEqual([true, 100, 7]);
  });

  it('says in each answer what the request belonged to, for whom it is made', async () => {
    const made = (await server.ask(`${path}/flowschemas`, { method: 'POST', body: { metadata: { name: 'jane' }, spec: { matchingPrecedence: 3, priorityLevelConfiguration: { name: 'missing' }, distinguisherMethod: { type: 'ByUser' }, rules: [{ subjects: [{ kind: 'User', user: { name: 'jane' } }], nonResourceRules: [{ verbs: ['*'], nonResourceURLs: ['*'] }] }] } } })).json<FlowSchema>();
    await expect.poll(async () => (await schemas()).find(({ metadata }) => metadata?.name === 'jane')?.status?.conditions?.[0], { timeout: 10_000 }).toMatchObject({ type: 'Dangling', status: 'True', reason: 'NotFound' });
    const level = (await server.ask(`${path}/prioritylevelconfigurations`, { method: 'POST', body: { metadata: { name: 'missing' }, spec: { type: 'Limited', limited: { nominalConcurrencyShares: 1, limitResponse: { type: 'Reject' } } } } })).json<PriorityLevelConfiguration>();
    const told = async (): Promise<unknown[]> => { const { headers } = await server.ask('/nowhere', { headers: { 'impersonate-user': 'jane' } }); return [headers['x-kubernetes-pf-flowschema-uid'], headers['x-kubernetes-pf-prioritylevel-uid']]; };
    await expect.poll(told, { timeout: 10_000 }).toEqual([made.metadata?.uid, level.metadata?.uid]);
    const byAdmin = await server.ask('/healthz');
    expect(byAdmin.headers['x-kubernetes-pf-flowschema-uid']).toBe((await schemas()).find(({ metadata }) => metadata?.name === 'exempt')?.metadata?.uid);
  });
});
