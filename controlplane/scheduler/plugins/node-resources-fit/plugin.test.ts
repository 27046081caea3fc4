import { expect, test } from 'vitest';
import { cluster, filterWith, node, pod, scoreWith } from '../../testing.ts';
import { nodeResourcesFit } from './plugin.ts';

const container = (cpu: string, extra: object = {}) => ({ name: cpu, resources: { requests: { cpu } }, ...extra });

test.each([
  ['fits exactly', { requests: { cpu: '3', memory: '1Gi' } }, undefined],
  ['CPU', { requests: { cpu: '3001m' } }, 'Insufficient cpu'],
  ['memory and CPU', { requests: { cpu: '4', memory: '9Gi' } }, 'Insufficient cpu; Insufficient memory'],
  ['ephemeral storage', { requests: { 'ephemeral-storage': '1Gi' } }, 'Insufficient ephemeral-storage'],
  ['an extended resource', { requests: { 'nvidia.com/gpu': '2' } }, 'Insufficient nvidia.com/gpu'],
  ['an extended resource that is there', { requests: { 'nvidia.com/gpu': '1' } }, undefined],
  ['asks for nothing', {}, undefined],
  ['the largest init container', { spec: { containers: [container('1')], initContainers: [container('2'), container('3500m')] } }, 'Insufficient cpu'],
  ['init containers one by one', { spec: { containers: [container('1')], initContainers: [container('3'), container('3')] } }, undefined],
  ['sidecars beside containers', { spec: { containers: [container('2')], initContainers: [container('1500m', { restartPolicy: 'Always' })] } }, 'Insufficient cpu'],
  ['init containers beside earlier sidecars only', { spec: { containers: [container('1')], initContainers: [container('3'), container('2', { restartPolicy: 'Always' })] } }, undefined],
  ['init containers beside earlier sidecars', { spec: { containers: [container('1')], initContainers: [container('1', { restartPolicy: 'Always' }), container('2500m')] } }, 'Insufficient cpu'],
  ['overhead', { requests: { cpu: '3' }, spec: { overhead: { cpu: '1m' }, containers: [container('3')] } }, 'Insufficient cpu'],
  ['requests of the pod as a whole', { spec: { containers: [container('4')], resources: { requests: { cpu: '3' } } } }, undefined],
])('filter: %s', (_name, options, reason) => {
  const cache = cluster({ nodes: [node('a', { allocatable: { 'nvidia.com/gpu': '1' } })], pods: { a: [pod({ name: 'x', requests: { cpu: '1' } })] } });
  expect(filterWith(nodeResourcesFit(), pod(options), cache)).toEqual(reason === undefined ? {} : { a: reason });
});

test('filter: the number of pods', () => {
  const cache = cluster({ nodes: [node('a', { allocatable: { pods: '1' } })], pods: { a: [pod({ name: 'x' })] } });
  expect(filterWith(nodeResourcesFit(), pod(), cache)).toEqual({ a: 'Too many pods' });
});

test('score: the emptier the better, pods that ask for nothing included', () => {
  const cache = cluster({ nodes: [node('a'), node('b'), node('c')], pods: { a: [pod({ name: 'x', requests: { cpu: '2', memory: '4Gi' } })], b: [pod({ name: 'y' })] } });
  const scores = scoreWith(nodeResourcesFit(), pod({ requests: { cpu: '1', memory: '2Gi' } }), cache);
  expect(scores).toEqual({ a: 25, b: 73, c: 75 });
});
