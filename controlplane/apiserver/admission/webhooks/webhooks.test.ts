import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConfigMap, MutatingWebhook, ValidatingWebhook } from '#api/gen/types.ts';
import { deployments, endpointSlices, mutatingWebhookConfigurations, namespaces, pods, serviceAccounts, services, validatingWebhookConfigurations } from '#api/kinds/resources.ts';
import { TestServer, type Answer } from '../../test-server.ts';
import type { ApiClient } from '../../types.ts';
import { FakeNodes } from '../../streams/testing.ts';
import { patching, TestWebhook } from './testing.ts';

let server: TestServer;
let client: ApiClient;
let webhook: TestWebhook;
beforeAll(async () => {
  [server, webhook] = await Promise.all([TestServer.start({ nodes: new FakeNodes() }), TestWebhook.start(['localhost', '127.0.0.1', 'guard.default.svc'])]);
  client = server.api.client({ name: 'test', groups: ['system:masters'] });
});
afterAll(async () => {
  await webhook.stop();
  await server.stop();
});

let count = 0;
/** A namespace of a test's own, and what its webhooks select. */
async function place(): Promise<{ ns: string; mine: { namespaceSelector: { matchLabels: Record<string, string> } } }> {
  const ns = `ns-${String(++count)}`;
  await client.create(namespaces, { metadata: { name: ns } });
  await client.create(serviceAccounts, { metadata: { name: 'default', namespace: ns } });
  return { ns, mine: { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': ns } } } };
}
const base = { admissionReviewVersions: ['v1'], sideEffects: 'None', rules: [{ operations: ['*'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps', 'pods'] }] };
let hooks = 0;
const mutating = (webhooks: (Partial<MutatingWebhook> & Pick<MutatingWebhook, 'clientConfig'>)[]): Promise<unknown> => client.create(mutatingWebhookConfigurations, {
  metadata: { name: `m-${String(++hooks).padStart(3, '0')}` }, webhooks: webhooks.map((hook, i) => ({ ...base, name: `hook-${String(i)}.example.com`, ...hook })) });
const validating = (webhooks: (Partial<ValidatingWebhook> & Pick<ValidatingWebhook, 'clientConfig'>)[]): Promise<unknown> => client.create(validatingWebhookConfigurations, {
  metadata: { name: `v-${String(++hooks).padStart(3, '0')}` }, webhooks: webhooks.map((hook, i) => ({ ...base, name: `guard-${String(i)}.example.com`, ...hook })) });
const post = (ns: string, name: string, extra: object = {}, query = ''): Promise<Answer> => server.ask(`/api/v1/namespaces/${ns}/configmaps${query}`, { method: 'POST', body: { metadata: { name }, ...extra } });
const add = (key: string) => () => patching([{ op: 'add', path: `/data/${key}`, value: 'yes' }]);

describe('mutating webhooks', () => {
  it('change objects one after another, and again those that want to see the result', async () => {
    const { ns, mine } = await place();
    const first = webhook.at('/first', ({ object }) => patching(object.data?.['second'] ? [{ op: 'add', path: '/data/both', value: 'yes' }] : [{ op: 'add', path: '/data/first', value: 'yes' }]));
    await mutating([{ clientConfig: first, ...mine, reinvocationPolicy: 'IfNeeded' }, { clientConfig: webhook.at('/second', add('second')), ...mine }]);
    const made = await post(ns, 'a', { data: { own: 'yes' } }, '?fieldManager=me');
    expect(made.json<ConfigMap>().data).toEqual({ own: 'yes', first: 'yes', second: 'yes', both: 'yes' });
    expect([webhook.seen('/first'), webhook.seen('/second')]).toEqual([['a', 'a'], ['a']]);
    const [asked] = webhook.asked.filter(({ path }) => path === '/first');
    expect(asked?.request).toMatchObject({
      operation: 'CREATE', namespace: ns, dryRun: false, kind: { group: '', version: 'v1', kind: 'ConfigMap' }, resource: { group: '', version: 'v1', resource: 'configmaps' },
      requestKind: { kind: 'ConfigMap' }, userInfo: { username: 'admin', groups: ['system:masters', 'system:authenticated'] }, oldObject: null, options: { kind: 'CreateOptions', fieldManager: 'me' },
    });
  });

  it('cannot touch what the server keeps; what they leave out is filled in again, and plugins look once more', async () => {
    const { ns, mine } = await place();
    const container = { name: 'b', image: 'i' };
    await mutating([{ ...mine, clientConfig: webhook.at('/pod', () => patching([
      { op: 'replace', path: '/metadata/uid', value: 'mine' }, { op: 'add', path: '/spec/containers/-', value: container }, { op: 'add', path: '/status', value: { phase: 'Running' } }, { op: 'remove', path: '/spec/priority' },
    ])) }]);
    const pod = await client.create(pods, { metadata: { name: 'p', namespace: ns }, spec: { containers: [{ name: 'a', image: 'i' }] } });
    expect(pod.metadata?.uid).not.toBe('mine');
    expect(pod.status?.phase).toBe('Pending');
    expect(pod.spec?.priority).toBe(0);
    expect(pod.spec?.containers[1]).toMatchObject({ ...container, imagePullPolicy: 'Always', terminationMessagePath: '/dev/termination-log' });
  });

  it('that send a broken patch break the request, and an object that is not valid is refused', async () => {
    const { ns, mine } = await place();
    await mutating([{ ...mine, objectSelector: { matchLabels: { a: 'broken' } }, clientConfig: webhook.at('/broken', () => patching([{ op: 'remove', path: '/nothing' }])) },
      { ...mine, objectSelector: { matchLabels: { a: 'invalid' } }, clientConfig: webhook.at('/invalid', () => patching([{ op: 'add', path: '/data', value: { 'not a key': 'x' } }])) }]);
    expect((await post(ns, 'a', { metadata: { name: 'a', labels: { a: 'broken' } } })).json()).toMatchObject({ code: 500, reason: 'InternalError' });
    expect((await post(ns, 'a', { metadata: { name: 'a', labels: { a: 'invalid' } } })).json()).toMatchObject({ code: 422 });
    expect((await post(ns, 'a')).status).toBe(201);
  });
});

describe('validating webhooks', () => {
  it('refuse with their own words and code, and warn', async () => {
    const { ns, mine } = await place();
    await validating([{ ...mine, clientConfig: webhook.at('/deny', ({ object, operation }) => ({
      allowed: operation !== 'DELETE' && object.data?.['bad'] === undefined, status: { message: `no ${operation}`, code: 403, reason: 'Forbidden' }, warnings: ['be careful'],
    })) }]);
    expect((await post(ns, 'a', { data: { bad: 'yes' } })).json()).toMatchObject({ code: 403, message: 'admission webhook "guard-0.example.com" denied the request: no CREATE' });
    const made = await post(ns, 'a');
    expect([made.status, made.headers['warning']]).toEqual([201, '299 - "be careful"']);
    expect((await server.ask(`/api/v1/namespaces/${ns}/configmaps/a?propagationPolicy=Orphan`, { method: 'DELETE', body: { gracePeriodSeconds: 3 } })).json()).toMatchObject({ code: 403, message: expect.stringContaining('no DELETE') as string });
    expect(webhook.asked.at(-1)?.request).toMatchObject({ options: { kind: 'DeleteOptions', gracePeriodSeconds: 3, propagationPolicy: 'Orphan' } });
    expect(webhook.asked.at(-1)?.request.oldObject).toMatchObject({ metadata: { name: 'a' } });
    await validating([{ ...mine, clientConfig: webhook.at('/silent', () => ({ allowed: false })), rules: [{ operations: ['UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }] }]);
    expect((await server.ask(`/api/v1/namespaces/${ns}/configmaps/a`, { method: 'PUT', body: { metadata: { name: 'a' }, data: { x: 'y' } } })).json()).toMatchObject({ code: 400, message: 'admission webhook "guard-0.example.com" denied the request without explanation' });
    for (const status of [{ code: 451, message: 'by law' }, { code: 409, reason: 'HouseRule', message: 'by law' }, { code: 42, reason: 'Odd', message: 'by law' }]) {
      await validating([{ ...mine, clientConfig: webhook.at('/own-words', () => ({ allowed: false, status })) }]);
      const answer = await post(ns, 'b');
      const code = status.code < 400 ? 400 : status.code;
      expect([answer.status, answer.json()]).toEqual([code, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', code, message: 'admission webhook "guard-0.example.com" denied the request: by law', ...(status.reason !== undefined && { reason: status.reason }) }]);
    }
  });

  it('that fail stop the request, unless they may be ignored', async () => {
    const { ns, mine } = await place();
    const label = (a: string): { objectSelector: { matchLabels: Record<string, string> } } => ({ objectSelector: { matchLabels: { a } } });
    await validating([
      { ...mine, ...label('slow'), timeoutSeconds: 1, clientConfig: webhook.at('/slow', () => 'hang') }, { ...mine, ...label('garbage'), clientConfig: webhook.at('/garbage', () => 'garbage') },
      { ...mine, ...label('uid'), clientConfig: webhook.at('/uid', () => ({ uid: 'x', allowed: true })) }, { ...mine, ...label('gone'), clientConfig: { url: 'https://127.0.0.1:1/gone' } },
      { ...mine, ...label('untrusted'), clientConfig: { url: webhook.at('/ok', () => ({ allowed: true })).url } },
      { ...mine, ...label('may'), failurePolicy: 'Ignore', clientConfig: { url: 'https://127.0.0.1:1/gone' } },
    ]);
    const message = async (a: string): Promise<string> => (await post(ns, 'a', { metadata: { name: 'a', labels: { a } } })).json<{ message: string }>().message;
    expect(await message('slow')).toMatch(/^Internal error occurred: failed calling webhook "guard-0\.example\.com": failed to call webhook: Post "https:\/\/127\.0\.0\.1:\d+\/slow\?timeout=1s": context deadline exceeded$/);
    expect(await message('garbage')).toContain('failed calling webhook "guard-1.example.com"');
    expect(await message('uid')).toContain('received invalid webhook response: expected response.uid=');
    expect(await message('gone')).toContain('ECONNREFUSED');
    expect(await message('untrusted')).toMatch(/certificate/);
    expect((await post(ns, 'a', { metadata: { name: 'a', labels: { a: 'may' } } })).status).toBe(201);
  });

  it('are told of dry runs, and see objects in the version that they ask for', async () => {
    const { ns, mine } = await place();
    await validating([{ ...mine, clientConfig: webhook.at('/versions', () => ({ allowed: true })), rules: [{ operations: ['CREATE'], apiGroups: ['events.k8s.io'], apiVersions: ['v1'], resources: ['events'] }] },
      { ...mine, clientConfig: webhook.at('/exact', () => ({ allowed: true })), matchPolicy: 'Exact', rules: [{ operations: ['CREATE'], apiGroups: ['events.k8s.io'], apiVersions: ['v1'], resources: ['events'] }] }]);
    const made = await server.ask(`/api/v1/namespaces/${ns}/events?dryRun=All`, { method: 'POST', body: { metadata: { name: 'e' }, involvedObject: { namespace: ns }, message: 'hello' } });
    expect(made.json()).toMatchObject({ apiVersion: 'v1', message: 'hello' });
    expect(webhook.asked.filter(({ path }) => path === '/versions').map(({ request }) => [request.kind.group, request['requestKind'], request.object['note'], request.dryRun])).toEqual([['events.k8s.io', { group: '', version: 'v1', kind: 'Event' }, 'hello', true]]);
    expect(webhook.seen('/exact')).toEqual([]);
  });

  it('are called through a Service, by way of their node, with the Service\'s name in their certificate', async () => {
    const { ns, mine } = await place();
    await client.create(services, { metadata: { name: 'guard', namespace: 'default' }, spec: { ports: [{ port: 443 }] } });
    await client.create(endpointSlices, { metadata: { name: 'guard-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'guard' } }, addressType: 'IPv4', endpoints: [{ addresses: ['192.0.2.7'], nodeName: 'node-1' }], ports: [{ port: webhook.port }] });
    webhook.at('/service', () => ({ allowed: false, status: { message: 'through the service' } }));
    await validating([{ ...mine, clientConfig: { service: { namespace: 'default', name: 'guard', path: '/service' }, caBundle: webhook.caBundle } }]);
    expect((await post(ns, 'a')).json<{ message: string }>().message).toBe('admission webhook "guard-0.example.com" denied the request: through the service');
  });

  it('may write the object that they are asked about, and keep nobody off it meanwhile', async () => {
    const { ns, mine } = await place();
    const at = `/api/v1/namespaces/${ns}/configmaps/shared`;
    const patch = (data: Record<string, string>): Promise<Answer> => server.ask(at, { method: 'PATCH', body: { data }, headers: { 'content-type': 'application/merge-patch+json' } });
    await post(ns, 'shared', { data: { own: 'yes' } });
    let asked = 0;
    await validating([{ ...mine, clientConfig: webhook.at('/writes', async ({ object }) => {
      // Once: it is asked about its own write, too.
      if (object.data?.['by-hook'] === undefined && asked++ === 0) expect((await patch({ 'by-hook': 'yes' })).status).toBe(200);
      return { allowed: true };
    }), rules: [{ operations: ['UPDATE', 'DELETE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] }] }]);
    expect((await patch({ mine: 'yes' })).json<ConfigMap>().data).toEqual({ 'own': 'yes', 'by-hook': 'yes', 'mine': 'yes' });
    const many = await Promise.all(Array.from({ length: 8 }, (_, i) => patch({ [`k${String(i)}`]: 'yes' })));
    expect(many.map(({ status }) => status)).toEqual(Array(8).fill(200));
    expect(Object.keys((await server.ask(at)).json<ConfigMap>().data ?? {})).toHaveLength(11);
    const { resourceVersion } = (await server.ask(at)).json<ConfigMap>().metadata ?? {};
    const put = (value: string): Promise<Answer> => server.ask(at, { method: 'PUT', body: { metadata: { name: 'shared', resourceVersion }, data: { value } } });
    expect((await Promise.all([put('a'), put('b')])).map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 409]);
  });

  it('may refuse streams into pods, and their eviction', async () => {
    const { ns, mine } = await place();
    await client.create(pods, { metadata: { name: 'p', namespace: ns }, spec: { containers: [{ name: 'a', image: 'i' }] } });
    await validating([{ ...mine, clientConfig: webhook.at('/attach', () => ({ allowed: false, status: { message: 'hands off' } })), rules: [{ operations: ['CONNECT'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods/attach'] }] }]);
    const stream = (name: string): Promise<Answer> => server.ask(`/api/v1/namespaces/${ns}/pods/p/${name}?container=a&stdin=true&stdout=true&command=sh`, { method: 'POST' });
    expect((await stream('attach')).json<{ message: string }>().message).toBe('admission webhook "guard-0.example.com" denied the request: hands off');
    await validating([{ ...mine, clientConfig: webhook.at('/evict', () => ({ allowed: false, status: { message: 'stays' } })), rules: [{ operations: ['CREATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['pods/eviction'] }] }]);
    const evicted = await server.ask(`/api/v1/namespaces/${ns}/pods/p/eviction`, { method: 'POST', body: { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'p' } } });
    expect(evicted.json<{ message: string }>().message).toContain('stays');
    expect(webhook.asked.at(-1)?.request).toMatchObject({ operation: 'CREATE', subResource: 'eviction', kind: { group: 'policy', version: 'v1', kind: 'Eviction' }, resource: { resource: 'pods' } });
    webhook.asked.pop();
    expect((await stream('exec')).json<{ message: string }>().message).not.toContain('hands off');
    expect(webhook.asked.at(-1)?.request).toMatchObject({
      operation: 'CONNECT', subResource: 'attach', name: 'p', kind: { group: '', version: 'v1', kind: 'PodAttachOptions' }, object: { kind: 'PodAttachOptions', container: 'a', stdin: true }, options: null,
    });
  });

  it('see and change the Scale of what is scaled', async () => {
    const { ns, mine } = await place();
    const labels = { app: 'web' };
    await client.create(deployments, { metadata: { name: 'web', namespace: ns }, spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { containers: [{ name: 'a', image: 'i' }] } } } });
    await mutating([{ ...mine, clientConfig: webhook.at('/scale', () => patching([{ op: 'replace', path: '/spec/replicas', value: 2 }])), rules: [{ operations: ['UPDATE'], apiGroups: ['apps'], apiVersions: ['v1'], resources: ['deployments/scale'] }] }]);
    const scaled = await server.ask(`/apis/apps/v1/namespaces/${ns}/deployments/web/scale`, { method: 'PUT', body: { metadata: { name: 'web', namespace: ns }, spec: { replicas: 9 } } });
    expect(scaled.json()).toMatchObject({ kind: 'Scale', spec: { replicas: 2 } });
    expect(webhook.asked.at(-1)?.request).toMatchObject({ kind: { group: 'autoscaling', version: 'v1', kind: 'Scale' }, resource: { resource: 'deployments' }, subResource: 'scale', object: { kind: 'Scale', spec: { replicas: 9 } }, oldObject: { spec: { replicas: 1 } } });
  });

  it('are asked only where their conditions hold', async () => {
    const { ns, mine } = await place();
    const conditions = (...expressions: string[]): { matchConditions: { name: string; expression: string }[] } => ({ matchConditions: expressions.map((expression, i) => ({ name: `c${String(i)}`, expression })) });
    const deny = webhook.at('/conditions', () => ({ allowed: false, status: { message: 'asked' } }));
    await validating([{ ...mine, clientConfig: deny, ...conditions("request.operation == 'CREATE'", "has(object.data) && object.data['deny'] == 'yes'", "authorizer.group('').resource('configmaps').namespace(request.namespace).check('create').allowed()") }]);
    expect((await post(ns, 'free', { data: { deny: 'no' } })).status).toBe(201);
    expect((await post(ns, 'denied', { data: { deny: 'yes' } })).json<{ message: string }>().message).toContain('asked');
    expect((await post(ns, 'error', { data: { other: 'x' } })).json()).toMatchObject({ code: 403, message: expect.stringContaining('resulted in error: no such key: deny') as string });
    await expect(validating([{ ...mine, clientConfig: deny, ...conditions('object.') }])).rejects.toThrow(/matchConditions\[0\]\.expression: Invalid value: "object\.": compilation failed/);
  });
});
