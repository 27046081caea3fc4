import { expect, test } from 'vitest';
import { claim, claimedBy, storageHandle } from '../../storage-testing.ts';
import { cluster, filterWith, node, pod } from '../../testing.ts';
import { volumeZone } from './plugin.ts';

const zone = 'topology.kubernetes.io/zone';
const old = 'failure-domain.beta.kubernetes.io/zone';
const volume = (name: string, labels?: Record<string, string>) => ({ metadata: { name, labels }, spec: {} });
const handle = storageHandle({
  claims: ['x', 'several', 'old', 'none'].map((name) => claim(name, { volumeName: name })).concat(claim('unbound')),
  volumes: [volume('x', { [zone]: 'x' }), volume('several', { [zone]: 'x__y' }), volume('old', { [old]: 'y' }), volume('none')],
});
const reason = 'node(s) had no available volume zone';

test.each([
  ['without claims', pod(), 'skip'],
  ['a volume without a zone', claimedBy('p', 'none'), 'skip'],
  ['a claim without a volume', claimedBy('p', 'unbound'), 'skip'],
  ['a volume of one zone', claimedBy('p', 'x'), { b: reason, c: reason }],
  ['a volume of several zones', claimedBy('p', 'several'), { c: reason }],
  ['a label of old', claimedBy('p', 'old'), { a: reason, c: reason }],
  ['two volumes', claimedBy('p', 'x', 'old'), { a: reason, b: reason, c: reason }],
])('%s', (_, incoming, expected) => {
  const cache = cluster({ nodes: [node('a', { labels: { [zone]: 'x' } }), node('b', { labels: { [zone]: 'y' } }), node('c', { labels: { [zone]: 'z' } }), node('d')] });
  expect(filterWith(volumeZone(handle), incoming, cache)).toEqual(expected);
});
