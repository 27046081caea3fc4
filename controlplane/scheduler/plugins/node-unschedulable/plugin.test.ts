import { expect, test } from 'vitest';
import { cluster, filterWith, node, pod } from '../../testing.ts';
import { nodeUnschedulable } from './plugin.ts';

test.each([
  ['any pod', {}, { a: 'node(s) were unschedulable' }],
  ['one that tolerates it', { spec: { tolerations: [{ key: 'node.kubernetes.io/unschedulable', operator: 'Exists' }] } }, 'skip'],
  ['one that tolerates everything', { spec: { tolerations: [{ operator: 'Exists' }] } }, 'skip'],
])('cordoned node and %s', (_name, options, refused) => {
  expect(filterWith(nodeUnschedulable(), pod(options), cluster({ nodes: [node('a', { unschedulable: true }), node('b')] }))).toEqual(refused);
});
