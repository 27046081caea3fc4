import { expect, test } from 'vitest';
import type { Toleration } from '#api/gen/types.ts';
import { cluster, filterWith, node, pod, scoreWith } from '../../testing.ts';
import { taintToleration } from './plugin.ts';

const tolerating = (...tolerations: Toleration[]) => pod({ spec: { tolerations } });
const cache = cluster({ nodes: [node('a', { taints: [{ key: 'k', value: 'v', effect: 'NoSchedule' }] }), node('b'), node('c', { taints: [{ key: 's', effect: 'PreferNoSchedule' }] })] });
const reason = 'node(s) had untolerated taint {k: v}';

test.each([
  ['none', pod(), { a: reason }],
  ['equal', tolerating({ key: 'k', value: 'v' }), {}],
  ['equal, with effect', tolerating({ key: 'k', operator: 'Equal', value: 'v', effect: 'NoSchedule' }), {}],
  ['other effect', tolerating({ key: 'k', operator: 'Equal', value: 'v', effect: 'NoExecute' }), { a: reason }],
  ['other value', tolerating({ key: 'k', value: 'w' }), { a: reason }],
  ['exists', tolerating({ key: 'k', operator: 'Exists' }), {}],
  ['everything', tolerating({ operator: 'Exists' }), {}],
])('filter: toleration %s', (_name, incoming, refused) => {
  expect(filterWith(taintToleration(), incoming, cache)).toEqual(refused);
});

test('filter: NoExecute keeps new pods off too', () => {
  const lost = cluster({ nodes: [node('a', { taints: [{ key: 'node.kubernetes.io/unreachable', effect: 'NoExecute' }] })] });
  expect(filterWith(taintToleration(), pod(), lost)).toEqual({ a: 'node(s) had untolerated taint {node.kubernetes.io/unreachable: }' });
});

test('score: rather not where a PreferNoSchedule taint is', () => {
  expect(scoreWith(taintToleration(), pod(), cache)).toEqual({ a: 100, b: 100, c: 0 });
  expect(scoreWith(taintToleration(), tolerating({ operator: 'Exists' }), cache)).toEqual({ a: 100, b: 100, c: 100 });
  expect(scoreWith(taintToleration(), pod(), cluster({ nodes: [node('b')] }))).toBe('skip');
});
