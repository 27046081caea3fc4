import { expect, test } from 'vitest';
import { claim, claimedBy, storageHandle } from '../../storage-testing.ts';
import { cluster, filterWith, node, pod } from '../../testing.ts';
import { nodeVolumeLimits } from './plugin.ts';

const driver = 'disk.example.com';
const volume = (name: string, handle = name) => ({ metadata: { name }, spec: { csi: { driver, volumeHandle: handle } } });
const handle = storageHandle({
  claims: [claim('a', { volumeName: 'a' }), claim('b', { volumeName: 'b' }), claim('same', { volumeName: 'same' }), claim('new', { storageClassName: 'disk' }), claim('other', { storageClassName: 'nfs' }), claim('c', { volumeName: 'c' })],
  volumes: [volume('a'), volume('b'), volume('c'), volume('same', 'a')], classes: [{ metadata: { name: 'disk' }, provisioner: driver }, { metadata: { name: 'nfs' }, provisioner: 'nfs.example.com' }],
  nodes: [{ metadata: { name: 'n1' }, spec: { drivers: [{ name: driver, nodeID: 'n1', allocatable: { count: 2 } }] } }, { metadata: { name: 'n2' }, spec: { drivers: [{ name: driver, nodeID: 'n2' }] } }],
});
const full = { n1: 'node(s) exceed max volume count' };

test.each([
  ['without claims', pod(), 'skip'],
  ['one more than there may be', claimedBy('p', 'c'), full],
  ['one that is to be made', claimedBy('p', 'new'), full],
  ['one that is attached already', claimedBy('p', 'a'), {}],
  ['another name of one that is attached', claimedBy('p', 'same'), {}],
  ['one of another driver', claimedBy('p', 'other'), {}],
])('%s', (_, incoming, expected) => {
  const cache = cluster({ nodes: [node('n1'), node('n2'), node('n3')], pods: { n1: [claimedBy('x', 'a'), claimedBy('y', 'b')], n2: [claimedBy('z', 'a', 'b')] } });
  expect(filterWith(nodeVolumeLimits(handle), incoming, cache)).toEqual(expected);
});
