import { expect, test } from 'vitest';
import { cluster, node, pod, scoreWith } from '../../testing.ts';
import { nodeResourcesFit } from './plugin.ts';

const half = pod({ name: 'x', requests: { cpu: '2', memory: '4Gi', 'nvidia.com/gpu': '1' } });
const cache = cluster({ nodes: [node('half', { allocatable: { 'nvidia.com/gpu': '2' } }), node('empty', { allocatable: { 'nvidia.com/gpu': '4' } }), node('none')], pods: { half: [half] } });
const asking = pod({ requests: { cpu: '1', memory: '2Gi', 'nvidia.com/gpu': '1' } });
const shape = (...points: [number, number][]) => ({ requestedToCapacityRatio: { shape: points.map(([utilization, score]) => ({ utilization, score })) } });
const gpu = { resources: [{ name: 'nvidia.com/gpu', weight: 3 }, { name: 'cpu' }] };

test.each<[string, object, Record<string, number>]>([
  ['least allocated, which is the default', {}, { half: 25, empty: 75, none: 75 }],
  ['most allocated', { type: 'MostAllocated' }, { half: 75, empty: 25, none: 25 }],
  ['other resources and weights', { type: 'MostAllocated', ...gpu }, { half: 94, empty: 25, none: 25 }],
  ['a ratio: bin packing', { type: 'RequestedToCapacityRatio', ...shape([0, 0], [100, 10]) }, { half: 75, empty: 25, none: 25 }],
  ['a ratio: least allocated', { type: 'RequestedToCapacityRatio', ...shape([0, 10], [100, 0]) }, { half: 25, empty: 75, none: 75 }],
  ['a ratio: between points', { type: 'RequestedToCapacityRatio', ...shape([25, 2], [50, 10], [75, 4]) }, { half: 40, empty: 20, none: 20 }],
  ['a ratio: what scores nothing does not weigh', { type: 'RequestedToCapacityRatio', ...shape([50, 0], [100, 10]), ...gpu }, { half: 88, empty: 0, none: 0 }],
  ['a ratio: beyond the last point', { type: 'RequestedToCapacityRatio', ...shape([10, 3], [20, 6]) }, { half: 60, empty: 60, none: 60 }],
])('%s', (_, scoringStrategy, expected) => {
  const plugin = nodeResourcesFit({ args: new Map([['NodeResourcesFit', { scoringStrategy }]]) });
  expect(scoreWith(plugin, asking, cache)).toEqual(expected);
});
