import { afterEach, describe, expect, test } from 'vitest';
import type { Node, Pod } from '#api/gen/types.ts';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { schedulerPlugins } from './registry.ts';
import { defaultSchedulerConfig, Scheduler } from './scheduler.ts';
import { fakeApi, FakeInformer, node, pod } from './testing.ts';

const stops = new Set<() => Promise<void>>();
afterEach(async () => { for (const end of stops) await end(); stops.clear(); });

async function setup(nodes: Node[], beforeBind?: (name: string) => Promise<void>) {
  const clock = new ManualClock();
  const pods = new FakeInformer<Pod>();
  const nodeInformer = new FakeInformer<Node>();
  for (const item of nodes) nodeInformer.set(item);
  const api = fakeApi(pods, beforeBind);
  const scheduler = new Scheduler({
    api, events: api, pods, nodes: nodeInformer, namespaces: { get: () => undefined },
    plugins: schedulerPlugins, clock, random: () => 0.5, log: silentLog,
  }, defaultSchedulerConfig);
  const abort = new AbortController();
  const running = scheduler.start(abort.signal);
  stops.add(async () => { abort.abort(); await running; });
  await clock.advance(0);
  return { clock, pods, nodes: nodeInformer, api, nodeOf: (name: string) => pods.get('default', name)?.spec?.nodeName };
}

describe('scheduler', () => {
  test('binds a pod and says so', async () => {
    const { clock, pods, api, nodeOf } = await setup([node('a')]);
    pods.set(pod({ name: 'web' }));
    await clock.advance(0);
    expect(nodeOf('web')).toBe('a');
    expect(api.recorded).toMatchObject([{ name: 'web', reason: 'Scheduled', message: 'Successfully assigned default/web to a' }]);
  });

  test('leaves alone pods that are not its own, are deleting, finished or gated', async () => {
    const { clock, pods, api, nodeOf } = await setup([node('a')]);
    pods.set(pod({ name: 'other', spec: { schedulerName: 'mine' } }));
    pods.set(pod({ name: 'done', status: { phase: 'Succeeded' } }));
    pods.set(pod({ name: 'gated', spec: { schedulingGates: [{ name: 'wait' }] } }));
    const deleting = pod({ name: 'deleting' });
    pods.set({ ...deleting, metadata: { ...deleting.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } });
    await clock.advance(400_000);
    for (const name of ['other', 'done', 'gated', 'deleting']) expect(nodeOf(name)).toBeUndefined();
    expect(api.patches.map(({ name, patch }) => [name, (patch as Pod).status?.conditions?.[0]?.reason])).toEqual([['gated', 'SchedulingGated']]);
    pods.set(pod({ name: 'gated' }));
    await clock.advance(0);
    expect(nodeOf('gated')).toBe('a');
  });

  test('says why nothing fits, once, and tries again when room comes', async () => {
    const { clock, pods, nodes, api, nodeOf } = await setup([
      node('a', { allocatable: { cpu: '1' } }),
      node('b', { taints: [{ key: 'k', value: 'v', effect: 'NoSchedule' }] }),
      node('c', { unschedulable: true }),
    ]);
    pods.set(pod({ name: 'big', requests: { cpu: '2' } }));
    await clock.advance(0);
    const message = '0/3 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated taint {k: v}, 1 node(s) were unschedulable. preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling.';
    expect(api.recorded).toMatchObject([{ name: 'big', reason: 'FailedScheduling', message }]);
    expect(api.patches).toHaveLength(1);
    expect(pods.get('default', 'big')?.status?.conditions).toMatchObject([{ type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message }]);
    await clock.advance(300_000);
    expect(api.recorded).toHaveLength(2);
    expect(api.patches).toHaveLength(1);
    nodes.set(node('a', { allocatable: { cpu: '2' } }));
    await clock.advance(2000);
    expect(nodeOf('big')).toBe('a');
  });

  test('a cluster without nodes', async () => {
    const { clock, pods, nodes, api, nodeOf } = await setup([]);
    pods.set(pod({ name: 'web' }));
    await clock.advance(0);
    expect(api.recorded[0]?.message).toBe('no nodes available to schedule pods');
    nodes.set(node('a'));
    await clock.advance(1000);
    expect(nodeOf('web')).toBe('a');
  });

  test('a deleted pod makes room for one that waits', async () => {
    const { clock, pods, nodeOf } = await setup([node('a', { allocatable: { pods: '1' } })]);
    const first = pod({ name: 'first' });
    pods.set(first);
    await clock.advance(0);
    pods.set(pod({ name: 'second' }));
    await clock.advance(1000);
    expect(nodeOf('second')).toBeUndefined();
    pods.delete(first);
    await clock.advance(0);
    expect(nodeOf('second')).toBe('a');
  });

  test('a binding that fails gives the room back and is retried with back-off', async () => {
    let failures = 3;
    const { clock, pods, nodeOf, api } = await setup([node('a')], async () => {
      await Promise.resolve();
      if (failures-- > 0) throw new StatusError('ServiceUnavailable', 'disk full');
    });
    pods.set(pod({ name: 'web', requests: { cpu: '4' } }));
    await clock.advance(6999);
    expect(failures).toBe(0);
    expect(nodeOf('web')).toBeUndefined();
    await clock.advance(1);
    expect(nodeOf('web')).toBe('a');
    expect(api.recorded.map(({ reason }) => reason)).toEqual(['Scheduled']);
  });

  test('a binding whose answer was lost counts as done', async () => {
    const informer: { pods?: FakeInformer<Pod> } = {};
    const { clock, pods, nodeOf, api } = await setup([node('a'), node('b')], async (name) => {
      await Promise.resolve();
      const found = informer.pods?.get('default', name);
      if (found) informer.pods?.set({ ...found, spec: { containers: [], ...found.spec, nodeName: 'b' } });
      throw new StatusError('Timeout', 'no answer');
    });
    informer.pods = pods;
    pods.set(pod({ name: 'web' }));
    await clock.advance(60_000);
    expect(nodeOf('web')).toBe('b');
    expect(api.recorded).toEqual([]);
  });

  test('higher priority goes first', async () => {
    const { clock, pods, nodes, nodeOf } = await setup([]);
    pods.set(pod({ name: 'low' }));
    pods.set(pod({ name: 'high', spec: { priority: 10 } }));
    await clock.advance(0);
    nodes.set(node('a', { allocatable: { pods: '1' } }));
    await clock.advance(10_000);
    expect([nodeOf('low'), nodeOf('high')]).toEqual([undefined, 'a']);
  });

  test('replicas of one owner are spread over hosts', async () => {
    const { clock, pods, nodeOf } = await setup([node('a'), node('b'), node('c')]);
    for (let i = 0; i < 6; i++) pods.set(pod({ name: `web-${String(i)}`, owner: 'rs', labels: { app: 'web' } }));
    await clock.advance(0);
    const counts = new Map<string | undefined, number>();
    for (let i = 0; i < 6; i++) counts.set(nodeOf(`web-${String(i)}`), (counts.get(nodeOf(`web-${String(i)}`)) ?? 0) + 1);
    expect([...counts.values()]).toEqual([2, 2, 2]);
  });

  test('stops when told to', async () => {
    const { clock, pods, nodeOf } = await setup([node('a')]);
    for (const end of stops) await end();
    stops.clear();
    pods.set(pod({ name: 'late' }));
    await clock.advance(1000);
    expect(nodeOf('late')).toBeUndefined();
  });
});
