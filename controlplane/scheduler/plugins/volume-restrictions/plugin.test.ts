import { expect, test } from 'vitest';
import { claim, claimedBy, storageHandle } from '../../storage-testing.ts';
import { cluster, filterWith, node, pod } from '../../testing.ts';
import { volumeRestrictions } from './plugin.ts';

const handle = storageHandle({ claims: [claim('one', { accessModes: ['ReadWriteOncePod'] }), claim('free', { accessModes: ['ReadWriteOncePod'] }), claim('many', { accessModes: ['ReadWriteOnce'] })] });
const reason = 'node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode';
const elsewhere = { ...claimedBy('p', 'one'), metadata: { ...claimedBy('p', 'one').metadata, namespace: 'other' } };

test.each([
  ['without claims', pod(), 'skip'],
  ['a claim for one pod that has one', claimedBy('p', 'one'), { a: reason, b: reason }],
  ['a claim for one pod that has none', claimedBy('p', 'free'), {}],
  ['a claim for all pods of a node', claimedBy('p', 'many'), 'skip'],
  ['a claim of that name elsewhere', elsewhere, 'skip'],
])('%s', (_, incoming, expected) => {
  expect(filterWith(volumeRestrictions(handle), incoming, cluster({ nodes: [node('a'), node('b')], pods: { a: [claimedBy('x', 'one', 'many')] } }))).toEqual(expected);
});
