import { expect, test } from 'vitest';
import { cluster, filterWith, node, pod } from '../../testing.ts';
import { nodeName } from './plugin.ts';

test('only the node named fits', () => {
  const cache = cluster({ nodes: [node('a'), node('b')] });
  expect(filterWith(nodeName(), pod(), cache)).toBe('skip');
  expect(filterWith(nodeName(), pod({ spec: { nodeName: 'a' } }), cache)).toEqual({ b: "node(s) didn't match the requested node name" });
});
