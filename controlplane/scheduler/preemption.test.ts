import { afterEach, describe, expect, test } from 'vitest';
import type { Node, Pod } from '#api/gen/types.ts';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { schedulerPlugins } from './registry.ts';
import { defaultSchedulerConfig, Scheduler, type SchedulerConfig } from './scheduler.ts';
import { fakeApi, FakeInformer, node, pod, type PodOptions } from './testing.ts';
import type { PluginRegistry } from './types.ts';

const stops = new Set<() => Promise<void>>();
afterEach(async () => { for (const end of stops) await end(); stops.clear(); });

interface Options { readonly plugins?: PluginRegistry; readonly config?: Partial<SchedulerConfig>; readonly pods?: readonly Pod[] }

async function setup(nodes: Node[], { plugins = {}, config = {}, pods: first = [] }: Options = {}) {
  const clock = new ManualClock();
  const pods = new FakeInformer<Pod>();
  const nodeInformer = new FakeInformer<Node>();
  for (const item of nodes) nodeInformer.set(item);
  for (const item of first) pods.set(item);
  const api = fakeApi(pods);
  const scheduler = new Scheduler({
    api, events: api, pods, nodes: nodeInformer, namespaces: { get: () => undefined }, plugins: { ...schedulerPlugins, ...plugins }, clock, random: () => 0.5, log: silentLog,
  }, { ...defaultSchedulerConfig, ...config });
  const abort = new AbortController();
  const running = scheduler.start(abort.signal);
  stops.add(async () => { abort.abort(); await running; });
  await clock.advance(0);
  const get = (name: string): Pod | undefined => pods.get('default', name);
  return { clock, pods, nodes: nodeInformer, api, get, nodeOf: (name: string) => get(name)?.spec?.nodeName, nominated: (name: string) => get(name)?.status?.nominatedNodeName };
}

const low = (name: string, nodeName: string, over: PodOptions = {}): Pod => pod({ name, requests: { cpu: '4' }, ...over, spec: { priority: 1, nodeName, ...over.spec } });
const high = (name = 'high', priority = 10): Pod => pod({ name, requests: { cpu: '4' }, spec: { priority } });

describe('preemption', () => {
  test('from the refusal to the binding', async () => {
    const { clock, pods, api, get, nodeOf, nominated } = await setup([node('a')], { pods: [low('x', 'a')] });
    pods.set(high());
    await clock.advance(0);
    expect(api.recorded.map(({ name, reason, message }) => [name, reason, message])).toEqual([
      ['high', 'FailedScheduling', '0/1 nodes are available: 1 Insufficient cpu.'],
      ['x', 'Preempted', 'Preempted by pod uid-high on node a'],
    ]);
    expect(get('x')?.status?.conditions).toMatchObject([{ type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler', message: 'default-scheduler: preempting to accommodate a higher priority pod' }]);
    expect(get('x')?.metadata?.deletionTimestamp).toBeDefined();
    expect(nominated('high')).toBe('a');
    await clock.advance(60_000);
    expect([nodeOf('high'), api.deleted]).toEqual([undefined, ['x']]);
    pods.delete(get('x')!);
    await clock.advance(10_000);
    expect(nodeOf('high')).toBe('a');
  });

  test('the room is not given to another that comes meanwhile', async () => {
    const { clock, pods, get, nodeOf } = await setup([node('a')], { pods: [low('x', 'a')] });
    pods.set(high());
    await clock.advance(0);
    const victim = get('x')!;
    pods.set(high('late'));
    await clock.advance(0);
    pods.delete(victim);
    await clock.advance(20_000);
    expect([nodeOf('high'), nodeOf('late')]).toEqual(['a', undefined]);
  });

  test('one of yet higher priority takes it, and the other looks anew', async () => {
    const { clock, pods, get, nodeOf, nominated } = await setup([node('a')], { pods: [low('x', 'a')] });
    pods.set(high());
    await clock.advance(0);
    pods.set(high('higher', 20));
    await clock.advance(20_000);
    expect([nominated('high'), nominated('higher')]).toEqual([undefined, 'a']);
    pods.delete(get('x')!);
    await clock.advance(20_000);
    expect([nodeOf('high'), nodeOf('higher')]).toEqual([undefined, 'a']);
  });

  test('room that was made before a restart is still there', async () => {
    const { clock, nodeOf } = await setup([node('a')], { pods: [{ ...high(), status: { nominatedNodeName: 'a' } }, high('other')] });
    await clock.advance(20_000);
    expect([nodeOf('high'), nodeOf('other')]).toEqual(['a', undefined]);
  });

  test('a preemptor that is deleted leaves the room to others', async () => {
    const { clock, pods, get, nodeOf } = await setup([node('a')], { pods: [low('x', 'a')] });
    pods.set(high());
    await clock.advance(0);
    pods.set(high('other'));
    await clock.advance(0);
    pods.delete(get('x')!);
    pods.delete(get('high')!);
    await clock.advance(20_000);
    expect(nodeOf('other')).toBe('a');
  });
});

describe('profiles', () => {
  test('each schedules its own, by its own plugins', async () => {
    const config = { profiles: [{ schedulerName: 'default-scheduler' }, { schedulerName: 'anywhere', plugins: { filter: { disabled: [{ name: 'NodeUnschedulable' }] } } }] };
    const { clock, pods, nodeOf } = await setup([node('a', { unschedulable: true })], { config });
    for (const [name, schedulerName] of [['one', 'default-scheduler'], ['two', 'anywhere'], ['three', 'nobody']] as const) pods.set(pod({ name, spec: { schedulerName } }));
    await clock.advance(0);
    expect(['one', 'two', 'three'].map(nodeOf)).toEqual([undefined, 'a', undefined]);
  });

  test('bin packing fills one node before the next', async () => {
    const pluginConfig = new Map([['NodeResourcesFit', { scoringStrategy: { type: 'MostAllocated' } }]]);
    const score = { disabled: [{ name: '*' }], enabled: [{ name: 'NodeResourcesFit' }] };
    const { clock, pods, nodeOf } = await setup([node('a'), node('b'), node('c')], { config: { profiles: [{ schedulerName: 'default-scheduler', pluginConfig, plugins: { score } }] } });
    for (let i = 0; i < 4; i++) { pods.set(pod({ name: `p${String(i)}`, requests: { cpu: '1' } })); await clock.advance(0); }
    expect(new Set([0, 1, 2, 3].map((i) => nodeOf(`p${String(i)}`))).size).toBe(1);
  });
});

describe('permit', () => {
  const permitting = (permit: NonNullable<ReturnType<PluginRegistry[string]>['permit']>): PluginRegistry => ({ gang: () => ({ name: 'Gang', events: ['assigned-pod-deleted'], permit }) });

  test('a refusal lets the pod wait, and its room go', async () => {
    const { clock, pods, api, nodeOf } = await setup([node('a')], { plugins: permitting(({ name }) => (name === 'no' ? { rejection: { reasons: ['not now'], resolvable: false } } : undefined)) });
    pods.set(pod({ name: 'no', requests: { cpu: '4' } }));
    await clock.advance(0);
    pods.set(pod({ name: 'yes', requests: { cpu: '4' } }));
    await clock.advance(0);
    expect([nodeOf('no'), nodeOf('yes'), api.recorded[0]?.message]).toEqual([undefined, 'a', '0/1 nodes are available: not now.']);
  });

  test('a pod that waits too long is refused; its room is kept until then', async () => {
    const { clock, pods, api, nodeOf } = await setup([node('a')], { plugins: permitting(({ name }) => (name === 'slow' ? { waitMs: 5000 } : undefined)) });
    pods.set(pod({ name: 'slow', requests: { cpu: '4' } }));
    await clock.advance(0);
    pods.set(pod({ name: 'other', requests: { cpu: '4' } }));
    await clock.advance(4999);
    expect([nodeOf('slow'), nodeOf('other')]).toEqual([undefined, undefined]);
    await clock.advance(1);
    expect(api.recorded.at(-1)?.message ?? '').toMatch(/timed out waiting on permit for Gang|Successfully assigned default\/other/);
    await clock.advance(10_000);
    expect(nodeOf('other')).toBe('a');
  });

  test('a pod that waits gives way without being deleted', async () => {
    const { clock, pods, api, nodeOf } = await setup([node('a')], { plugins: permitting(({ name }) => (name === 'slow' ? { waitMs: 60_000 } : undefined)) });
    pods.set(pod({ name: 'slow', requests: { cpu: '4' }, spec: { priority: 1 } }));
    await clock.advance(0);
    pods.set(high());
    await clock.advance(10_000);
    expect([nodeOf('high'), nodeOf('slow'), api.deleted]).toEqual(['a', undefined, []]);
  });
});
