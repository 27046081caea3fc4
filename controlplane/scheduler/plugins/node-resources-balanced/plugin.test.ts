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

test('goes by other resources where the profile says so', () => {
  const gpus = (count: string) => ({ allocatable: { 'example.com/gpu': count } });
  const cache = cluster({ nodes: [node('even', gpus('4')), node('few', gpus('1')), node('none')] });
  const of = (resources: unknown) => nodeResourcesBalanced({ args: new Map([['NodeResourcesBalancedAllocation', { resources }]]) });
  const asking = pod({ requests: { 'cpu': '1', 'memory': '2Gi', 'example.com/gpu': '1' } });
  expect(scoreWith(of([{ name: 'cpu', weight: 1 }, { name: 'memory' }, { name: 'example.com/gpu' }]), asking, cache)).toEqual({ even: 100, few: 65, none: 100 });
  expect(scoreWith(of([{ name: 'example.com/gpu' }]), pod({ requests: { cpu: '1' } }), cache)).toBe('skip');
  expect(() => of([{ name: 'cpu', weight: 2 }])).toThrow('resources[0].weight must be a whole number from 1 to 1');
  expect(() => of([{ name: 'cpu' }, { name: 'cpu' }])).toThrow('resources names one twice');
});
