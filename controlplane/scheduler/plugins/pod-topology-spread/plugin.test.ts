import { expect, test } from 'vitest';
import type { TopologySpreadConstraint } from '#api/gen/types.ts';
import { cluster, filterWith, node, pod, scoreWith } from '../../testing.ts';
import { podTopologySpread } from './plugin.ts';

const zone = 'topology.kubernetes.io/zone';
const web = (name: string) => pod({ name, labels: { app: 'web' }, owner: 'rs' });
const constraint = (extra: Partial<TopologySpreadConstraint> = {}): TopologySpreadConstraint => ({
  maxSkew: 1, topologyKey: zone, whenUnsatisfiable: 'DoNotSchedule', labelSelector: { matchLabels: { app: 'web' } }, ...extra,
});
const spreading = (...topologySpreadConstraints: TopologySpreadConstraint[]) => pod({ labels: { app: 'web', rev: '2' }, spec: { topologySpreadConstraints } });
const uneven = "node(s) didn't match pod topology spread constraints";

/** Zone x: a (2 pods) and b (none); zone y: c (1 pod); d has no zone. */
const cache = cluster({
  nodes: [node('a', { labels: { [zone]: 'x' } }), node('b', { labels: { [zone]: 'x' } }), node('c', { labels: { [zone]: 'y' } }), node('d')],
  pods: { a: [web('1'), web('2')], c: [web('3')] },
});

test.each([
  ['over zones', spreading(constraint()), { a: uneven, b: uneven, d: `${uneven} (missing required label)` }],
  ['a larger skew', spreading(constraint({ maxSkew: 2 })), { d: `${uneven} (missing required label)` }],
  ['over hosts', spreading(constraint({ topologyKey: 'kubernetes.io/hostname' })), { a: uneven, c: uneven }],
  ['fewer domains than wanted', spreading(constraint({ minDomains: 3 })), { a: uneven, b: uneven, c: uneven, d: `${uneven} (missing required label)` }],
  ['other pods', spreading(constraint({ labelSelector: { matchLabels: { app: 'db' } } })), { d: `${uneven} (missing required label)` }],
  ['matchLabelKeys', spreading(constraint({ matchLabelKeys: ['rev'] })), { d: `${uneven} (missing required label)` }],
  ['nodes that the selector rules out do not count', pod({ labels: { app: 'web' }, spec: { nodeSelector: { [zone]: 'x' }, topologySpreadConstraints: [constraint()] } }), { d: `${uneven} (missing required label)` }],
  ['soft only', spreading(constraint({ whenUnsatisfiable: 'ScheduleAnyway' })), 'skip'],
])('filter: %s', (_name, incoming, refused) => {
  expect(filterWith(podTopologySpread(), incoming, cache)).toEqual(refused);
});

test('terminating pods do not count', () => {
  const old = web('old');
  const deleting = { ...old, metadata: { ...old.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } };
  const nodes = [node('a'), node('b')];
  expect(filterWith(podTopologySpread(), spreading(constraint({ topologyKey: 'kubernetes.io/hostname' })), cluster({ nodes, pods: { a: [deleting] } }))).toEqual({});
});

test('score: soft constraint over zones', () => {
  expect(scoreWith(podTopologySpread(), spreading(constraint({ whenUnsatisfiable: 'ScheduleAnyway' })), cache)).toEqual({ a: 50, b: 50, c: 100, d: 0 });
});

test('score: by default the pods of one owner are spread over hosts', () => {
  const hosts = cluster({ nodes: [node('a'), node('b'), node('c')], pods: { a: [web('1'), web('2')], b: [web('3')] } });
  const scores = scoreWith(podTopologySpread(), web('new'), hosts);
  expect(scores).toMatchObject({ c: 100 });
  if (scores === 'skip') throw new Error('not scored');
  expect(scores.a).toBeLessThan(scores.b!);
});

test('score: nothing to spread', () => {
  expect(scoreWith(podTopologySpread(), pod({ labels: { app: 'web' } }), cache)).toBe('skip');
});
