import { expect, test } from 'vitest';
import { cluster, node, pod, scoreWith } from '../../testing.ts';
import { nodeResourcesBalanced } from './plugin.ts';

test('prefers nodes whose CPU and memory are used alike', () => {
  const cache = cluster({ nodes: [node('even'), node('cpu-heavy')], pods: { 'cpu-heavy': [pod({ name: 'x', requests: { cpu: '2' } })] } });
  expect(scoreWith(nodeResourcesBalanced(), pod({ requests: { cpu: '1', memory: '2Gi' } }), cache)).toEqual({ even: 100, 'cpu-heavy': 75 });
});

test('has no opinion on pods that ask for nothing', () => {
  expect(scoreWith(nodeResourcesBalanced(), pod(), cluster({ nodes: [node('a')] }))).toBe('skip');
});
