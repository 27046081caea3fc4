import { beforeEach, describe, expect, it } from 'vitest';
import type { Pod, PodDisruptionBudget } from '#api/gen/types.ts';
import { kinds } from '#api/kinds/registry.ts';
import { podDisruptionBudgets, pods } from '#api/kinds/resources.ts';
import { ManualClock } from '#common/clock.ts';
import { AdmissionChain } from './admission/chain.ts';
import { InProcessClient } from './client.ts';
import { evictPod } from './eviction.ts';
import { KindIndex } from './kind-index.ts';
import { ResourceStore } from './resource-store.ts';
import { memoryStore } from './test-server.ts';
import type { DeleteRequest } from './types.ts';

const user = { name: 'system:masters', groups: ['system:masters'] };
const index = new KindIndex(kinds);
const clock = new ManualClock(Date.UTC(2026, 0, 1));
let resources: ResourceStore;
let client: InProcessClient;
/** Done by somebody else right after the pod was read. */
let meanwhile: () => Promise<unknown>;
let evict: (deletion?: DeleteRequest) => Promise<void>;

const statusOf = (ready: string, phase = 'Running'): Pod['status'] => ({ phase, conditions: [{ type: 'Ready', status: ready }] });
const pod = (): Promise<Pod> => client.get(pods, 'default', 'one');
const setStatus = async (status: Pod['status']): Promise<unknown> => client.update(pods, { ...await pod(), status }, 'status');
const make = (): Promise<Pod> => client.create(pods, { metadata: { namespace: 'default', name: 'one', labels: { app: 'web' } }, spec: { nodeName: 'n', containers: [{ name: 'c', image: 'i' }] } });

beforeEach(async () => {
  const store = await memoryStore();
  resources = new ResourceStore({ store, admission: new AdmissionChain([]), kinds: index, clock });
  client = new InProcessClient({ store, resources, kinds: index, clock }, user);
  meanwhile = () => Promise.resolve();
  const read: ResourceStore['entry'] = async (...about) => {
    const entry = await resources.entry(...about);
    await meanwhile();
    return entry;
  };
  const interrupted = new Proxy(resources, { get: (target, name) => { const member: unknown = name === 'entry' ? read : Reflect.get(target, name); return typeof member === 'function' ? member.bind(target) as unknown : member; } });
  evict = (deletion = {}) => evictPod({ store, resources: interrupted, kinds: index, clock }, index.of(pods), { namespace: 'default', podName: 'one', deletion }, { user, dryRun: false });
  await make();
  const budget = await client.create<PodDisruptionBudget>(podDisruptionBudgets, { metadata: { namespace: 'default', name: 'web' }, spec: { minAvailable: 1, selector: { matchLabels: { app: 'web' } }, unhealthyPodEvictionPolicy: 'AlwaysAllow' } });
  await client.update(podDisruptionBudgets, { ...budget, status: { disruptionsAllowed: 0, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1, observedGeneration: 1 } }, 'status');
});

describe('a pod that costs its budget nothing', () => {
  it.each([['is not ready', statusOf('False')], ['has not started', statusOf('False', 'Pending')]])('for it %s, and becomes ready meanwhile: its budget is asked after all', async (_, status) => {
    await setStatus(status);
    meanwhile = async () => { meanwhile = () => Promise.resolve(); await setStatus(statusOf('True')); };
    await expect(evict()).rejects.toMatchObject({ code: 'TooManyRequests' });
    expect((await pod()).status?.conditions).toEqual([expect.objectContaining({ type: 'Ready', status: 'True' })]);
  });

  it('goes though something else of it changed', async () => {
    await setStatus(statusOf('False'));
    meanwhile = async () => { meanwhile = () => Promise.resolve(); await client.patch(pods, 'default', 'one', 'merge', { metadata: { labels: { more: '1' } } }); };
    await evict();
    expect((await pod()).metadata?.deletionTimestamp).toBeDefined();
  });

  it('is left to a later try when it changes all the time', async () => {
    await setStatus(statusOf('False'));
    let count = 0;
    meanwhile = () => client.patch(pods, 'default', 'one', 'merge', { metadata: { labels: { more: String(++count) } } });
    await expect(evict()).rejects.toMatchObject({ code: 'TooManyRequests', retryAfterMs: 10_000 });
    expect((await pod()).metadata?.deletionTimestamp).toBeUndefined();
  });
});

it('leaves alone what took the name of the pod meanwhile', async () => {
  await setStatus(statusOf('False'));
  await client.delete(podDisruptionBudgets, 'default', 'web');
  meanwhile = async () => { meanwhile = () => Promise.resolve(); await client.delete(pods, 'default', 'one', { gracePeriodSeconds: 0 }); await make(); };
  await expect(evict()).rejects.toMatchObject({ code: 'Conflict' });
  expect((await pod()).status?.conditions ?? []).toEqual([]);
});

it('keeps to the version that it is asked about', async () => {
  await setStatus(statusOf('False'));
  await expect(evict({ preconditions: { resourceVersion: '1' } })).rejects.toMatchObject({ code: 'Conflict' });
  const { resourceVersion } = (await pod()).metadata ?? {};
  await evict({ preconditions: { ...(resourceVersion !== undefined && { resourceVersion }) } });
  expect((await pod()).metadata?.deletionTimestamp).toBeDefined();
});
