import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Event, EventsEvent } from '#api/gen/types.ts';
import { events, eventsEvents } from '#api/kinds/resources.ts';
import { TestServer, type Answer } from './test-server.ts';

let server: TestServer;
beforeAll(async () => { server = await TestServer.start(); });
afterAll(async () => { await server.stop(); });

const core = '/api/v1/namespaces/default/events';
const later = '/apis/events.k8s.io/v1/namespaces/default/events';
const coreEvent = {
  apiVersion: 'v1', kind: 'Event', metadata: { name: 'one', namespace: 'default' }, involvedObject: { kind: 'Pod', namespace: 'default', name: 'web' },
  reason: 'Started', message: 'it started', type: 'Normal', source: { component: 'agent' }, count: 3, firstTimestamp: '2026-01-01T00:00:00Z',
};
const laterEvent = {
  apiVersion: 'events.k8s.io/v1', kind: 'Event', metadata: { name: 'two', namespace: 'default' }, regarding: { kind: 'Pod', namespace: 'default', name: 'web' },
  reason: 'Killing', note: 'it ends', type: 'Warning', action: 'Kill', reportingController: 'example.com/agent', reportingInstance: 'agent-1', eventTime: '2026-01-01T00:00:00.000000Z',
};

describe('one kind in two groups', () => {
  it('shows what was made in either, under the names of each', async () => {
    expect((await server.ask(core, { method: 'POST', body: coreEvent })).status).toBe(201);
    const made = await server.ask(later, { method: 'POST', body: laterEvent });
    expect(made.json()).toMatchObject({ apiVersion: 'events.k8s.io/v1', kind: 'Event', note: 'it ends', metadata: { name: 'two' } });
    expect((await server.ask(`${later}/one`)).json()).toMatchObject({ apiVersion: 'events.k8s.io/v1', note: 'it started', regarding: { name: 'web' }, deprecatedCount: 3, deprecatedSource: { component: 'agent' } });
    expect((await server.ask(`${core}/two`)).json()).toMatchObject({ apiVersion: 'v1', message: 'it ends', involvedObject: { name: 'web' }, reportingComponent: 'example.com/agent' });
    const list = (await server.ask('/apis/events.k8s.io/v1/events')).json<{ apiVersion: string; kind: string; items: EventsEvent[] }>();
    expect([list.apiVersion, list.kind]).toEqual(['events.k8s.io/v1', 'EventList']);
    expect(list.items.map(({ apiVersion, note }) => [apiVersion, note])).toEqual([['events.k8s.io/v1', 'it started'], ['events.k8s.io/v1', 'it ends']]);
  });

  it('keeps one history: patches in one group are seen by watches, selectors and clients of the other', async () => {
    const { resourceVersion } = (await server.ask(later)).json<{ metadata: { resourceVersion: string } }>().metadata;
    const stop = new AbortController();
    const lines = server.lines(`${later}?watch=1&resourceVersion=${resourceVersion}&fieldSelector=regarding.name%3Dweb`, stop.signal);
    const patched = await server.ask(`${later}/one`, { method: 'PATCH', body: { metadata: { labels: { a: 'b' } } }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect(patched.json()).toMatchObject({ apiVersion: 'events.k8s.io/v1', note: 'it started', metadata: { labels: { a: 'b' } } });
    expect((await lines.next()).value).toMatchObject({ type: 'MODIFIED', object: { apiVersion: 'events.k8s.io/v1', note: 'it started' } });
    await server.ask(`${core}/one`, { method: 'DELETE' });
    expect((await lines.next()).value).toMatchObject({ type: 'DELETED', object: { note: 'it started' } });
    stop.abort();
    expect((await server.ask(`${later}?fieldSelector=regarding.name%3Dother`)).json<{ items: unknown[] }>().items).toEqual([]);
    expect((await server.ask(`${later}?fieldSelector=involvedObject.name%3Dweb`)).status).toBe(400);
    const client = server.api.client({ name: 'test', groups: ['system:masters'] });
    expect((await client.get<EventsEvent>(eventsEvents, 'default', 'two')).note).toBe('it ends');
    expect((await client.get<Event>(events, 'default', 'two')).message).toBe('it ends');
    const table = (await server.ask(later, { headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' } })).json<{ rows: { cells: unknown[] }[] }>();
    expect(table.rows[0]?.cells.slice(1, 4)).toEqual(['Warning', 'Killing', 'pod/web']);
  });

  it('is stricter in the later one', async () => {
    const { eventTime: _, ...incomplete } = laterEvent;
    const answer = await server.ask(later, { method: 'POST', body: { ...incomplete, metadata: { name: 'three', namespace: 'default' }, deprecatedCount: 2, type: 'Odd' } });
    expect(answer.status).toBe(422);
    expect(answer.json<{ message: string }>().message).toMatch(/eventTime: Required value.*type: Invalid value: "": has invalid value: Odd.*count: Invalid value: "": needs to be unset/);
    const changed = await server.ask(`${later}/two`, { method: 'PATCH', body: { note: 'other' }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect(changed.status).toBe(422);
  });
});

describe('one kind in two versions', () => {
  const path = (version: string, name = ''): string => `/apis/autoscaling/${version}/namespaces/default/horizontalpodautoscalers${name}`;
  it('is made in one and read in the other; discovery prefers the newer', async () => {
    const spec = { maxReplicas: 3, scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' }, targetCPUUtilizationPercentage: 50 };
    const made = await server.ask(path('v1'), { method: 'POST', body: { apiVersion: 'autoscaling/v1', kind: 'HorizontalPodAutoscaler', metadata: { name: 'web' }, spec } });
    expect(made.json()).toMatchObject({ apiVersion: 'autoscaling/v1', spec: { targetCPUUtilizationPercentage: 50, minReplicas: 1 } });
    expect((await server.ask(path('v2', '/web'))).json()).toMatchObject({ apiVersion: 'autoscaling/v2', spec: { metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 50 } } }] } });
    const patched = await server.ask(path('v2', '/web'), { method: 'PATCH', body: { spec: { maxReplicas: 5 } }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect(patched.json()).toMatchObject({ apiVersion: 'autoscaling/v2', spec: { maxReplicas: 5 } });
    expect((await server.ask(path('v1', '/web'))).json()).toMatchObject({ apiVersion: 'autoscaling/v1', spec: { maxReplicas: 5, targetCPUUtilizationPercentage: 50 } });
    expect((await server.ask('/apis/autoscaling')).json()).toMatchObject({ preferredVersion: { version: 'v2' }, versions: [{ version: 'v2' }, { version: 'v1' }] });
  });

  const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
  const cpu = (averageUtilization: number): object => ({ metrics: [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization } } }] });
  const config = (version: string, name: string, spec: object): object => ({ apiVersion: `autoscaling/${version}`, kind: 'HorizontalPodAutoscaler', metadata: { name }, spec: { maxReplicas: 3, scaleTargetRef, ...spec } });
  const apply = (version: string, name: string, spec: object, manager: string, query = ''): Promise<Answer> => server.ask(`${path(version, `/${name}`)}?fieldManager=${manager}${query}`, { method: 'PATCH', body: config(version, name, spec), headers: { 'content-type': 'application/apply-patch+yaml' } });
  interface Owned { readonly metadata: { readonly managedFields: readonly { readonly manager: string; readonly apiVersion: string; readonly fieldsV1: Record<string, Record<string, unknown>> }[] } }
  const ownedBy = (answer: Answer): Record<string, string> => Object.fromEntries(answer.json<Owned>().metadata.managedFields.map(({ manager, apiVersion, fieldsV1 }) => [`${manager} ${apiVersion}`, Object.keys(fieldsV1['f:spec'] ?? {}).join()]));

  it('knows owners of fields across the versions in which they speak', async () => {
    await apply('v2', 'shared', cpu(50), 'me');
    expect((await apply('v1', 'shared', { targetCPUUtilizationPercentage: 80 }, 'other')).json()).toMatchObject({ code: 409, message: 'Apply failed with 1 conflict: conflict with "me": .spec.metrics' });
    expect((await apply('v1', 'shared', { targetCPUUtilizationPercentage: 50 }, 'other')).status).toBe(200);
    // Somebody changes in one version what the others own in both.
    const changed = await server.ask(`${path('v1', '/shared')}?fieldManager=changer`, { method: 'PATCH', body: { spec: { targetCPUUtilizationPercentage: 60 } }, headers: { 'content-type': 'application/merge-patch+json' } });
    expect(ownedBy(changed)).toEqual({ 'me autoscaling/v2': 'f:maxReplicas,f:scaleTargetRef', 'other autoscaling/v1': 'f:maxReplicas,f:scaleTargetRef', 'changer autoscaling/v1': 'f:targetCPUUtilizationPercentage' });
  });

  it('takes away what was said in one version and is not said in the other, unless somebody else says it', async () => {
    await apply('v2', 'moved', { ...cpu(50), behavior: { scaleDown: { stabilizationWindowSeconds: 7 } } }, 'me');
    const moved = await apply('v1', 'moved', { minReplicas: 2 }, 'me');
    expect(moved.json()).toMatchObject({ apiVersion: 'autoscaling/v1', spec: { minReplicas: 2 } });
    const now = (await server.ask(path('v2', '/moved'))).json<{ spec: { metrics: unknown; behavior?: unknown } }>().spec;
    expect([now.metrics, now.behavior]).toEqual([(cpu(80) as { metrics: unknown }).metrics, undefined]);
    await apply('v2', 'both', cpu(50), 'me');
    await apply('v2', 'both', cpu(50), 'other');
    expect((await apply('v1', 'both', {}, 'me')).json()).toMatchObject({ spec: { targetCPUUtilizationPercentage: 50 } });
  });
});
