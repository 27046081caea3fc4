import { expect, test } from 'vitest';
import { cluster, node, pod, scoreWith } from '../../testing.ts';
import { imageLocality } from './plugin.ts';

const incoming = pod({ spec: { containers: [{ name: 'c', image: 'registry.local:5000/app' }] } });
const image = (megabytes: number) => ({ images: [{ names: ['registry.local:5000/app:latest'], sizeBytes: megabytes * 1024 * 1024 }] });

test.each([
  ['a large image', 1000, 49],
  ['a small image', 20, 0],
])('%s', (_name, megabytes, score) => {
  expect(scoreWith(imageLocality(), incoming, cluster({ nodes: [node('a', image(megabytes)), node('b')] }))).toEqual({ a: score, b: 0 });
});

test('an image that no node has, or all have, says nothing', () => {
  expect(scoreWith(imageLocality(), incoming, cluster({ nodes: [node('a'), node('b')] }))).toBe('skip');
  expect(scoreWith(imageLocality(), incoming, cluster({ nodes: [node('a', image(500)), node('b', image(500))] }))).toBe('skip');
});
