import { expect, it } from 'vitest';
import type { CSIDriver, PersistentVolume, Pod } from '#api/gen/types.ts';
import { csiVolume, ownerGroup } from './requests.ts';
import type { Driver } from './types.ts';

const pod = { metadata: { uid: 'u', namespace: 'default', name: 'p' } } as Pod;
const driver: Driver = { name: 'd', endpoint: '/d', nodeId: 'n', maxVolumes: 0, topology: {}, capabilities: new Set() };
const claimed = (mode: string, fsType = 'ext4', more: object = {}): Parameters<typeof csiVolume>[0] => ({
  pod, volume: { name: 'v', persistentVolumeClaim: { claimName: 'c' } },
  claimed: { metadata: { name: 'pv' }, spec: { accessModes: [mode], csi: { driver: 'd', volumeHandle: 'h', fsType }, ...more } } satisfies PersistentVolume,
});
const inline = (fsType?: string): Parameters<typeof csiVolume>[0] => ({ pod, volume: { name: 'v', csi: { driver: 'd', ...(fsType !== undefined && { fsType }) } }, claimed: undefined });

it.each<[string, Parameters<typeof csiVolume>[0], string | undefined, boolean]>([
  ['one of one node', claimed('ReadWriteOnce'), undefined, true], ['one of one pod', claimed('ReadWriteOncePod'), undefined, true], ['one of many', claimed('ReadWriteMany'), undefined, false],
  ['one of no file system', claimed('ReadWriteOnce', ''), undefined, false], ['one of many, where files are meant', claimed('ReadWriteMany', ''), 'File', true], ['one that the driver sees to', claimed('ReadWriteOnce'), 'None', false],
  ['a device', claimed('ReadWriteOnce', 'ext4', { volumeMode: 'Block' }), 'File', false], ['one that lives with its pod', inline('ext4'), undefined, true], ['such a one of no file system', inline(), undefined, false],
])('gives to a group, or not, %s', (_what, about, fsGroupPolicy, isGiven) => {
  const object = fsGroupPolicy === undefined ? undefined : { spec: { fsGroupPolicy } } as CSIDriver;
  expect(ownerGroup(csiVolume(about), driver, object, 3000)).toBe(isGiven ? 3000 : undefined);
  expect(ownerGroup(csiVolume(about), { ...driver, capabilities: new Set(['VOLUME_MOUNT_GROUP']) }, object, 3000)).toBeUndefined();
});
