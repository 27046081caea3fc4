import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { withinAskedTime } from './http/asked-timeout.ts';
import { TestServer, type Answer } from './test-server.ts';

/** What the reference of Kubernetes' API says of each verb's parameters and answers. */
let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });

const core = '/api/v1/namespaces/default';
const configMaps = `${core}/configmaps`;
const deployments = '/apis/apps/v1/namespaces/default/deployments';
const ask = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> => server.ask(path, { method, ...(body !== undefined && { body }), headers });
const message = async (answer: Promise<Answer>): Promise<[number, string]> => { const answered = await answer; return [answered.status, answered.json<{ message: string }>().message]; };
const accept = (as: string, version = 'v1'): Record<string, string> => ({ accept: `application/json;as=${as};v=${version};g=meta.k8s.io` });
const metadataOf = async (path: string): Promise<{ resourceVersion: string; continue?: string; remainingItemCount?: number }> => (await server.ask(path)).json<{ metadata: { resourceVersion: string; continue?: string } }>().metadata;
const lease = (name: string, version?: string): unknown => ({ metadata: { name, ...(version && { resourceVersion: version }) }, spec: { holderIdentity: 'me' } });

async function events(query: string, count: number, path = configMaps): Promise<{ type: string; object: { kind: string; metadata: { name?: string; annotations?: Record<string, string> }; [key: string]: unknown } }[]> {
  const stop = new AbortController();
  const seen: Record<string, unknown>[] = [];
  for await (const line of server.lines(`${path}?watch=1&${query}`, stop.signal)) {
    seen.push(line);
    if (seen.length === count) break;
  }
  stop.abort();
  return seen as never;
}

describe('lists', () => {
  it.each([
    ['resourceVersionMatch=Exact', 'resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided'],
    ['resourceVersion=0&resourceVersionMatch=Exact', 'resourceVersionMatch: Forbidden: resourceVersionMatch "exact" is forbidden for resourceVersion "0"'],
    ['resourceVersion=1&resourceVersionMatch=Newest', 'resourceVersionMatch: Unsupported value: "Newest": supported values: "Exact", "NotOlderThan"'],
    ['resourceVersion=1&resourceVersionMatch=Exact&continue=x', 'resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided'],
    ['sendInitialEvents=true', 'sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list'],
    ['watch=1&resourceVersionMatch=NotOlderThan', 'resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided'],
    ['watch=1&sendInitialEvents=true', 'resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan'],
    ['watch=1&sendInitialEvents=false&resourceVersionMatch=Exact', 'resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"'],
  ])('refuse %s', async (query, why) => {
    expect(await message(server.ask(`${configMaps}?${query}`))).toEqual([422, `ListOptions.meta.k8s.io "" is invalid: ${why}`]);
  });

  it('whose revision is forgotten go on when told to, with what is there now', async () => {
    for (const name of ['page-a', 'page-b', 'page-c']) await ask('POST', configMaps, { metadata: { name } });
    const first = await metadataOf(`${configMaps}?limit=1`);
    expect(first.remainingItemCount).toBeGreaterThan(0);
    await ask('DELETE', `${configMaps}/page-b`);
    await server.store.compact(server.store.revision);
    const gone = await server.ask(`${configMaps}?limit=500&continue=${first.continue ?? ''}`);
    expect(gone.json()).toMatchObject({ code: 410, reason: 'Expired', message: expect.stringContaining('results in an inconsistent list') as string, metadata: { continue: expect.any(String) as string } });
    const rest = await server.ask(`${configMaps}?limit=500&continue=${gone.json<{ metadata: { continue: string } }>().metadata.continue}`);
    const names = rest.json<{ items: { metadata: { name: string } }[] }>().items.map(({ metadata }) => metadata.name);
    expect(names).toContain('page-c');
    expect(names).not.toContain('page-b');
    expect(await message(server.ask(`${configMaps}?resourceVersion=1&resourceVersionMatch=Exact`))).toEqual([410, 'The resourceVersion for the provided list is too old.']);
  });

  it('and objects come in the form asked for, and not in one that does not fit', async () => {
    await ask('POST', configMaps, { metadata: { name: 'formed' }, data: { a: '1' } });
    const table = await server.ask(`${configMaps}/formed`, { headers: accept('Table', 'v1beta1') });
    expect(table.json()).toMatchObject({ kind: 'Table', apiVersion: 'meta.k8s.io/v1beta1', rows: [{ cells: ['formed', 1, expect.any(String)], object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1beta1' } }] });
    expect((await server.ask(`${configMaps}?includeObject=Object`, { headers: accept('Table') })).json<{ rows: { object: { kind: string } }[] }>().rows[0]?.object.kind).toBe('ConfigMap');
    expect((await server.ask(`${configMaps}?includeObject=All`, { headers: accept('Table') })).status).toBe(400);
    expect((await server.ask(configMaps, { headers: accept('PartialObjectMetadataList') })).json()).toMatchObject({ kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1' });
    expect(await message(server.ask(configMaps, { headers: accept('PartialObjectMetadata') }))).toEqual([406, expect.stringContaining('the requested object is a list')]);
    expect((await server.ask(`${configMaps}/formed`, { headers: accept('PartialObjectMetadataList') })).status).toBe(406);
    expect((await server.ask(configMaps, { headers: accept('Nonsense') })).status).toBe(406);
    expect((await server.ask(configMaps, { headers: { accept: `${accept('Nonsense')['accept'] ?? ''},application/json` } })).json()).toMatchObject({ kind: 'ConfigMapList' });
  });
});

describe('watches', () => {
  it('begin with what there is, marked where that ends, when asked to; or without it', async () => {
    await ask('POST', configMaps, { metadata: { name: 'first', labels: { watched: 'yes' } } });
    const initial = await events('labelSelector=watched&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true', 2);
    expect(initial.map(({ type, object }) => [type, object.metadata.name ?? object.metadata.annotations])).toEqual([['ADDED', 'first'], ['BOOKMARK', { 'k8s.io/initial-events-end': 'true' }]]);
    const { resourceVersion } = await metadataOf(configMaps);
    const byName = events(`fieldSelector=metadata.name%3Dsecond&resourceVersion=${resourceVersion}`, 2);
    await ask('POST', configMaps, { metadata: { name: 'second', labels: { watched: 'yes' } } });
    await ask('DELETE', `${configMaps}/second`);
    expect((await byName).map(({ type }) => type)).toEqual(['ADDED', 'DELETED']);
    let later: Awaited<ReturnType<typeof events>> = [];
    const watching = events('labelSelector=watched&sendInitialEvents=false&resourceVersionMatch=NotOlderThan', 1).then((seen) => { later = seen; });
    await vi.waitFor(async () => {
      await ask('POST', configMaps, { metadata: { generateName: 'later-', labels: { watched: 'yes' } } });
      expect(later).toHaveLength(1);
    });
    await watching;
    expect(later[0]?.object.metadata.name).toMatch(/^later-/);
  });

  it('can be asked for as they once were', async () => {
    const stop = new AbortController();
    for await (const line of server.lines('/api/v1/watch/namespaces/default/configmaps/first', stop.signal)) {
      expect(line).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'first' } } });
      break;
    }
    stop.abort();
  });

  it('tell in an ERROR event that a revision is forgotten', async () => {
    await server.store.compact(server.store.revision);
    expect(await events('resourceVersion=1', 1)).toMatchObject([{ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } }]);
  });
});

describe('requests', () => {
  it('may say how long they wait, but not nonsense', async () => {
    for (const timeout of ['invalid', '5', '-1s']) expect(await message(server.ask(`${configMaps}?timeout=${timeout}`))).toEqual([400, 'invalid timeout specified in the request URL']);
    for (const timeout of ['', '0', '1m30.5s', '10s']) expect((await server.ask(`${configMaps}?timeout=${timeout}`)).status).toBe(200);
    const clock = new ManualClock();
    const late = withinAskedTime(new URLSearchParams('timeout=1m'), clock, () => new Promise<never>(() => undefined));
    const refused = expect(late).rejects.toMatchObject({ code: 'Timeout', message: 'request did not complete within requested timeout - context deadline exceeded' });
    await clock.advance(60_000);
    await refused;
  });

  it('that are not kept are not shown as tables', async () => {
    const review = { apiVersion: 'authorization.k8s.io/v1', kind: 'SelfSubjectAccessReview', spec: { resourceAttributes: { verb: 'get', resource: 'pods' } } };
    expect((await ask('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', review, accept('Table'))).status).toBe(406);
  });
});

describe('documents', () => {
  it('of objects come in YAML as well', async () => {
    const one = await server.ask(`${configMaps}/formed`, { headers: { accept: 'application/yaml' } });
    expect(one.headers['content-type']).toBe('application/yaml');
    const lines = async (query: string, headers: Record<string, string> = {}): Promise<number> => (await server.ask(`${configMaps}/formed${query}`, { headers })).text.trimEnd().split('\n').length;
    expect(await lines('?pretty=true')).toBeGreaterThan(5);
    expect(await lines('', { 'user-agent': 'curl/8.0' })).toBeGreaterThan(5);
    expect(await lines('?pretty=false', { 'user-agent': 'curl/8.0' })).toBe(1);
    expect((await server.ask(`${configMaps}/none?pretty`)).text).toMatch(/^\{\n {2}"kind": "Status",\n[^]*\n\}\n$/);
    expect(one.text).toMatch(/^apiVersion: v1\ndata:\n {2}a: "1"\nkind: ConfigMap\nmetadata:\n/);
    expect((await server.ask(configMaps, { headers: { accept: 'application/json;q=0.1, application/yaml' } })).json()).toMatchObject({ kind: 'ConfigMapList' });
  });

  it('of discovery come once for each client, in either form of the whole', async () => {
    const aggregated = (version: string, headers: Record<string, string> = {}): Promise<Answer> => server.ask('/apis', { headers: { accept: `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList,application/json`, ...headers } });
    for (const version of ['v2', 'v2beta1']) {
      const whole = await aggregated(version);
      expect(whole.headers).toMatchObject({ 'content-type': `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`, vary: 'Accept, Accept-Encoding' });
      expect(whole.json<{ items: { metadata: { name: string } }[] }>().items.map(({ metadata }) => metadata.name)).toEqual(expect.arrayContaining(['apps', 'batch', 'rbac.authorization.k8s.io']));
      expect((await aggregated(version, { 'if-none-match': String(whole.headers['etag']) })).status).toBe(304);
    }
    expect((await server.ask('/api')).json()).toMatchObject({ kind: 'APIVersions', versions: ['v1'], serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0' }] });
  });

  it('of metrics tell under Kubernetes\' names what was asked', async () => {
    await ask('POST', `${configMaps}?dryRun=All`, { metadata: { name: 'counted' } });
    const stop = new AbortController();
    const watching = server.lines(`${configMaps}?watch=1`, stop.signal);
    await watching.next();
    const metrics = await server.ask('/metrics');
    expect(metrics.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
    const labels = 'group="",version="v1",resource="configmaps",subresource=""';
    for (const line of [
      new RegExp(`^apiserver_request_total\\{verb="POST",dry_run="All",${labels},scope="resource",component="apiserver",code="201"\\} 1$`, 'm'),
      new RegExp(`^apiserver_request_duration_seconds_bucket\\{verb="LIST",dry_run="",${labels},scope="namespace",component="apiserver",le="\\+Inf"\\} \\d+$`, 'm'),
      /^apiserver_registered_watchers\{group="",version="v1",resource="configmaps"\} \d+$/m, /^apiserver_current_inflight_requests\{request_kind="readOnly"\} 1$/m,
      /^apiserver_storage_objects\{resource="configmaps"\} \d+$/m, /^process_resident_memory_bytes \d+$/m, /^# TYPE apiserver_longrunning_requests gauge$/m,
    ]) expect(metrics.text).toMatch(line);
    stop.abort();
    await watching.return(undefined);
  });

  it('of health say of each check how it is', async () => {
    expect((await server.ask('/readyz?verbose&exclude=ping&exclude=nothing')).text).toBe('[+]ping excluded: ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n[+]informer-sync ok\n[+]shutdown ok\nwarn: some health checks cannot be excluded: no matches for "nothing"\nreadyz check passed\n');
    for (const path of ['/healthz/store', '/livez/ping', '/readyz/etcd', '/healthz/log', '/readyz/informer-sync']) expect((await server.ask(path)).text).toBe('ok');
    expect((await server.ask('/readyz/nothing')).status).toBe(404);
  });
});

describe('writes', () => {
  it('drop an owner that is named twice, and say so', async () => {
    const owner = { apiVersion: 'v1', kind: 'ConfigMap', name: 'o', uid: 'u-1' };
    const made = await ask('POST', configMaps, { metadata: { name: 'owned', ownerReferences: [owner, owner] } });
    expect(made.headers['warning']).toContain('duplicate UID(s) observed: u-1');
    expect(made.json<{ metadata: { ownerReferences: unknown[] } }>().metadata.ownerReferences).toEqual([owner]);
  });

  it('by PUT make some kinds of object, and name the version of others', async () => {
    const made = await ask('PUT', `${core}/endpoints/made`, { metadata: { name: 'made' } });
    expect(made.status).toBe(201);
    expect((await ask('PUT', `${core}/endpoints/made`, { metadata: { name: 'made' } })).status).toBe(200);
    expect((await ask('PUT', `${configMaps}/made`, { metadata: { name: 'made' } })).status).toBe(404);
    const leases = '/apis/coordination.k8s.io/v1/namespaces/default/leases';
    const created = (await ask('POST', leases, lease('held'))).json<{ metadata: { resourceVersion: string } }>();
    expect(await message(ask('PUT', `${leases}/held`, lease('held')))).toEqual([422, 'Lease.coordination.k8s.io "held" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update']);
    expect((await ask('PUT', `${leases}/held`, lease('held', created.metadata.resourceVersion))).status).toBe(200);
  });

  it('refuse what no sort of write may say', async () => {
    expect(await message(ask('POST', configMaps, { metadata: { name: 'x', resourceVersion: '5' } }))).toEqual([400, 'resourceVersion should not be set on objects to be created']);
    expect(await message(ask('PATCH', `${configMaps}/formed?force=true`, {}, { 'content-type': 'application/merge-patch+json' }))).toEqual([422, 'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch']);
  });

  it('delete as told: what becomes of the dependents, in the new way and the old', async () => {
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'i' }] } };
    const make = (name: string): Promise<Answer> => ask('POST', deployments, { metadata: { name }, spec: { selector: { matchLabels: { a: 'b' } }, template } });
    const finalizers = async (name: string, query: string, body?: unknown): Promise<[number, unknown]> => {
      await make(name);
      const answer = await ask('DELETE', `${deployments}/${name}${query}`, body);
      return [answer.status, answer.json<{ metadata: { finalizers?: string[] } }>().metadata.finalizers];
    };
    expect(await finalizers('foreground', '', { propagationPolicy: 'Foreground' })).toEqual([200, ['foregroundDeletion']]);
    expect(await finalizers('orphan', '?orphanDependents=true')).toEqual([200, ['orphan']]);
    expect(await finalizers('background', '?propagationPolicy=Background')).toEqual([200, undefined]);
    const jobs = '/apis/batch/v1/namespaces/default/jobs';
    for (const [query, warning] of [['', expect.stringContaining('child pods are preserved by default when jobs are deleted')], ['?propagationPolicy=Background', undefined]] as const) {
      await ask('POST', jobs, { metadata: { name: 'job' }, spec: { suspend: true, template: { spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'i' }] } } } });
      expect((await ask('DELETE', `${jobs}/job${query}`)).headers['warning']).toEqual(warning);
    }
    await ask('POST', configMaps, { metadata: { name: 'kept', finalizers: ['example.com/x'] } });
    expect((await ask('DELETE', `${configMaps}/kept`, { orphanDependents: false })).status).toBe(202);
    expect(await message(ask('DELETE', `${configMaps}/kept`, { orphanDependents: true, propagationPolicy: 'Orphan' }))).toEqual([422, expect.stringContaining('orphanDependents and deletionPropagation cannot be both set')]);
    expect(await message(ask('DELETE', `${configMaps}/kept?propagationPolicy=Sideways`))).toEqual([422, 'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Sideways": supported values: "Foreground", "Background", "Orphan", "nil"']);
  });
});
