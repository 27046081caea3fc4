import { describe, expect, test } from 'vitest';
import type { Pod, PodDisruptionBudget } from '#api/gen/types.ts';
import { schedule } from '../../cycle.ts';
import { Framework } from '../../framework.ts';
import { Nominator } from '../../nominator.ts';
import { podInfo } from '../../pod-info.ts';
import { schedulerPlugins } from '../../registry.ts';
import { cluster, fakeApi, FakeInformer, node, pod, type ClusterOptions, type PodOptions } from '../../testing.ts';

const low = (name: string, over: PodOptions = {}, priority = 1): Pod => pod({ name, requests: { cpu: '2' }, ...over, spec: { priority, ...over.spec }, status: { startTime: '2026-01-01T00:00:00Z', ...over.status } });
const incoming = (over: PodOptions = {}): Pod => pod({ name: 'high', requests: { cpu: '2' }, ...over, spec: { priority: 10, ...over.spec } });
const budget = (disruptionsAllowed: number, disruptedPods: Record<string, string> = {}): PodDisruptionBudget => ({
  metadata: { name: 'pdb', namespace: 'default' }, spec: { selector: { matchLabels: { app: 'kept' } } }, status: { disruptionsAllowed, disruptedPods, currentHealthy: 1, desiredHealthy: 1, expectedPods: 1 },
});
const kept = { labels: { app: 'kept' } };
const started = (time: string): PodOptions => ({ status: { startTime: `2026-01-0${time}T00:00:00Z` } });

function run(options: ClusterOptions, pending: Pod, { budgets = [], nominated }: { budgets?: PodDisruptionBudget[]; nominated?: [Pod, string][] } = {}) {
  const nominator = new Nominator();
  for (const [one, nodeName] of nominated ?? []) nominator.set(podInfo(one), nodeName);
  const plugins = Object.values(schedulerPlugins).map((make) => make({ api: fakeApi(new FakeInformer<Pod>()), budgets: { list: () => budgets } }));
  const decision = schedule({ framework: new Framework(plugins), nominator, random: () => 0 }, cluster(options), podInfo(pending), 0);
  if (decision.type === 'fit') return decision.node.name;
  const { nomination } = decision;
  return nomination === undefined || nomination === 'keep' ? decision.message : { [nomination.nodeName]: nomination.victims.map(({ name }) => name) };
}

const three = [node('a'), node('b'), node('c')];
const full = (name: string, ...pods: Pod[]): ClusterOptions => ({ nodes: [node(name)], pods: { [name]: pods } });

describe('victims', () => {
  test.each<[string, ClusterOptions, Pod, unknown]>([
    ['one is enough', full('a', low('x'), low('y', started('2'))), incoming(), { a: ['y'] }],
    ['two are needed', full('a', low('x'), low('y')), incoming({ requests: { cpu: '4' } }), { a: ['x', 'y'] }],
    ['the least important goes', full('a', low('x', {}, 5), low('y', {}, 3)), incoming(), { a: ['y'] }],
    ['never one of equal priority', full('a', low('x', {}, 10), low('y', {}, 11)), incoming(), '0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.'],
    ['not those that would not help', full('a', low('x', {}, 10), low('y', { requests: { cpu: '2' } })), incoming({ requests: { cpu: '4' } }), '0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 Insufficient cpu.'],
    ['not where the pod can never be', { nodes: [node('a', { unschedulable: true })], pods: { a: [low('x')] } }, incoming(), '0/1 nodes are available: 1 node(s) were unschedulable. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.'],
    ['not with policy Never', full('a', low('x'), low('y')), incoming({ spec: { preemptionPolicy: 'Never' } }), '0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.'],
    ['host ports', full('a', low('x', { hostPort: 80, requests: {} })), incoming({ hostPort: 80 }), { a: ['x'] }],
    ['anti-affinity of its own', full('a', low('x', { labels: { app: 'db' }, requests: {} }), low('y', { requests: {} })), incoming({ spec: { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'db' } } }] } } } }), { a: ['x'] }],
    ['anti-affinity of a pod there', full('a', low('x', { requests: {}, spec: { affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'new' } } }] } } } })), incoming({ labels: { app: 'new' } }), { a: ['x'] }],
    ['spreading', {
      nodes: [node('a', { labels: { zone: 'x' } }), node('b', { labels: { zone: 'y' }, allocatable: { pods: '0' } })],
      pods: { a: [low('x', { labels: { app: 'w' }, requests: {} })] },
    }, incoming({ labels: { app: 'w' }, spec: { topologySpreadConstraints: [{ maxSkew: 1, topologyKey: 'zone', whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 'w' } } }] } }), { a: ['x'] }],
    ['but not a pod that it wants to be with', full('a', low('x', { labels: { app: 'db' } }), low('y')), incoming({ requests: { cpu: '4' }, spec: { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: 'kubernetes.io/hostname', labelSelector: { matchLabels: { app: 'db' } } }] } } } }), "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 node(s) didn't match pod affinity rules."],
  ])('%s', (_, options, pending, expected) => { expect(run(options, pending)).toEqual(expected); });

  test('budgets are spared as far as possible', () => {
    const options = full('a', low('x', { ...kept, ...started('2') }), low('y'));
    expect(run(options, incoming())).toEqual({ a: ['x'] });
    expect(run(options, incoming(), { budgets: [budget(0)] })).toEqual({ a: ['y'] });
    expect(run(options, incoming(), { budgets: [budget(1)] })).toEqual({ a: ['x'] });
    expect(run(options, incoming({ requests: { cpu: '4' } }), { budgets: [budget(0)] })).toEqual({ a: ['y', 'x'] });
  });
});

describe('the node', () => {
  const one = (over: PodOptions = {}, priority = 1) => (name: string): Pod[] => [low(`${name}1`, { ...over, requests: { cpu: '4' } }, priority)];
  const two = (first: number, second: number) => (name: string): Pod[] => [low(`${name}1`, {}, first), low(`${name}2`, {}, second)];
  test.each<[string, readonly ((name: string) => Pod[])[], string]>([
    ['fewest budgets violated', [one(kept), one(), one(kept)], 'b'],
    ['lowest highest priority', [two(5, 1), two(2, 2), two(4, 4)], 'b'],
    ['lowest sum of priorities', [two(3, 3), two(3, 2), two(3, 3)], 'b'],
    ['fewest victims', [two(3, 1), one({}, 3), two(3, 1)], 'b'],
    ['the youngest of the most important', [one(started('1')), one(started('3')), one(started('2'))], 'b'],
    ['else any', [one(), one(), one()], 'a'],
  ])('%s', (_, made, expected) => {
    const pods = Object.fromEntries(['a', 'b', 'c'].map((name, i) => [name, made[i]?.(name) ?? []]));
    expect(Object.keys(run({ nodes: three, pods }, incoming({ requests: { cpu: '4' } }), { budgets: [budget(0)] }))).toEqual([expected]);
  });
});

describe('nominated pods', () => {
  const waiting = (priority: number): Pod => pod({ name: 'waiting', requests: { cpu: '4' }, spec: { priority } });

  test('room made for one is not taken by one of the same or lower priority', () => {
    const refused = '0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod.';
    expect(run({ nodes: [node('a')] }, incoming(), { nominated: [[waiting(10), 'a']] })).toBe(refused);
    expect(run({ nodes: [node('a')] }, incoming(), { nominated: [[waiting(9), 'a']] })).toBe('a');
  });

  test('the pod itself goes where room was made', () => {
    const self = incoming();
    expect(run({ nodes: three }, self, { nominated: [[self, 'c']] })).toBe('c');
    expect(run({ nodes: [node('a'), node('c', { unschedulable: true })] }, self, { nominated: [[self, 'c']] })).toBe('a');
  });

  test('while victims go, no more are chosen', () => {
    const going = low('x', { requests: { cpu: '4' }, status: { conditions: [{ type: 'DisruptionTarget', status: 'True', reason: 'PreemptionByScheduler' }] } });
    const terminating = { ...going, metadata: { ...going.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
    const self = incoming();
    const options = { nodes: [node('a'), node('b')], pods: { a: [terminating], b: [low('y', { requests: { cpu: '4' } })] } };
    expect(run(options, self, { nominated: [[self, 'a']] })).toBe('0/2 nodes are available: 2 Insufficient cpu. preemption: not eligible due to a terminating pod on the nominated node.');
    expect(run({ ...options, nodes: [node('a', { unschedulable: true }), node('b')] }, self, { nominated: [[self, 'a']] })).toEqual({ b: ['y'] });
  });
});
