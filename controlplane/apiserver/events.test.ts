import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Event } from '#api/gen/types.ts';
import { kinds } from '#api/kinds/registry.ts';
import { events } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { rfc3339 } from '#common/time.ts';
import type { Store } from '#controlplane/store/types.ts';
import { AdmissionChain } from './admission/chain.ts';
import { InProcessClient } from './client.ts';
import { EventExpiry } from './event-expiry.ts';
import { ApiEventRecorder } from './event-recorder.ts';
import { KindIndex } from './kind-index.ts';
import { ResourceStore } from './resource-store.ts';
import { memoryStore } from './test-server.ts';
import type { ApiClient } from './types.ts';

let store: Store;
let clock: ManualClock;
let client: ApiClient;
let stop: AbortController;

beforeEach(async () => {
  store = await memoryStore();
  clock = new ManualClock();
  stop = new AbortController();
  const index = new KindIndex(kinds);
  const resources = new ResourceStore({ store, admission: new AdmissionChain([]), kinds: index, clock });
  client = new InProcessClient({ store, resources, kinds: index, clock }, { name: 'test', groups: [] });
});
afterEach(async () => {
  stop.abort();
  await store.close();
});

const pod = (name: string): Parameters<ApiEventRecorder['event']>[0] => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name, namespace: 'default', uid: name } });
const list = async (): Promise<Event[]> => (await client.list(events, 'default')).items;

describe('events', () => {
  it('are counted, not repeated', async () => {
    const recorder = new ApiEventRecorder({ client, clock, log: silentLog }, { component: 'scheduler' });
    for (let i = 0; i < 3; i++) recorder.event(pod('a'), 'Warning', 'FailedScheduling', 'no node fits');
    recorder.event(pod('a'), 'Normal', 'Scheduled', 'assigned');
    recorder.event(pod('b'), 'Warning', 'FailedScheduling', 'no node fits');
    await vi.waitFor(async () => { expect(await list()).toHaveLength(3); });
    const counted = (await list()).find((event) => event.count === 3);
    expect(counted).toMatchObject({ type: 'Warning', reason: 'FailedScheduling', message: 'no node fits', source: { component: 'scheduler' }, involvedObject: { kind: 'Pod', name: 'a', uid: 'a' } });
    expect((await list()).map((event) => event.count)).toEqual(expect.arrayContaining([1, 1, 3]) as unknown);
  });

  it('may have happened earlier and often, before anybody could be told', async () => {
    const recorder = new ApiEventRecorder({ client, clock, log: silentLog }, { component: 'kubelet' });
    await clock.advance(7_200_000);
    const nowMs = clock.now();
    recorder.event(pod('a'), 'Warning', 'BackOff', 'again', { count: 40, firstMs: nowMs - 7_000_000, lastMs: nowMs - 1_000_000 });
    recorder.event(pod('a'), 'Warning', 'BackOff', 'again');
    await vi.waitFor(async () => { expect((await list())[0]?.count).toBe(41); });
    expect((await list())[0]).toMatchObject({ firstTimestamp: rfc3339(nowMs - 7_000_000), lastTimestamp: rfc3339(nowMs) });
  });

  it('name the part of the object, and the host that reports', async () => {
    const recorder = new ApiEventRecorder({ client, clock, log: silentLog }, { component: 'kubelet' });
    for (const container of ['one', 'two', 'one']) recorder.event({ ...pod('a'), fieldPath: `spec.containers{${container}}`, host: 'node-1' }, 'Normal', 'Pulled', 'present');
    await vi.waitFor(async () => { expect((await list()).map((event) => event.count).sort((a = 0, b = 0) => a - b)).toEqual([1, 2]); });
    expect((await list()).find((event) => event.count === 2)).toMatchObject({ involvedObject: { name: 'a', fieldPath: 'spec.containers{one}' }, source: { component: 'kubelet', host: 'node-1' }, reportingComponent: 'kubelet', reportingInstance: 'node-1' });
  });

  it('of one object are bounded, so that a crash loop leaves room', async () => {
    const recorder = new ApiEventRecorder({ client, clock, log: silentLog }, { component: 'test' });
    for (let i = 0; i < 100; i++) recorder.event(pod('loop'), 'Normal', 'Started', `attempt ${String(i)}`);
    recorder.event(pod('other'), 'Normal', 'Started', 'once');
    await vi.waitFor(async () => { expect((await list()).some((event) => event.involvedObject.name === 'other')).toBe(true); });
    expect(await list()).toHaveLength(26);
  });

  it('go after their time, and the oldest sooner when there are too many', async () => {
    const recorder = new ApiEventRecorder({ client, clock, log: silentLog }, { component: 'test' });
    const expiry = new EventExpiry({ store, clock, log: silentLog }, { ttlMs: 3_600_000, maxEvents: 3 });
    const running = expiry.start(stop.signal);
    recorder.event(pod('a'), 'Normal', 'Started', 'a');
    await vi.waitFor(async () => { expect(await list()).toHaveLength(1); });
    await clock.advance(1_800_000);
    recorder.event(pod('b'), 'Normal', 'Started', 'b');
    await vi.waitFor(async () => { expect(await list()).toHaveLength(2); });
    await clock.advance(1_900_000);
    await vi.waitFor(async () => { expect((await list()).map((event) => event.message)).toEqual(['b']); });
    for (const name of ['c', 'd', 'e']) recorder.event(pod(name), 'Normal', 'Started', name);
    await vi.waitFor(async () => { expect(new Set((await list()).map((event) => event.message))).toEqual(new Set(['c', 'd', 'e'])); });
    stop.abort();
    await running;
  });
});
