import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { PersistentVolume, PersistentVolumeClaim } from '#api/gen/types.ts';
import { execOk } from '#common/exec.ts';
import { podPaths } from '../paths.ts';
import { testPod } from '../testing.ts';
import { claimedFolder, ensureClaimedVolume } from './claims.ts';
import { ensureDisk } from './disk.ts';
import { isMountPoint } from './mounts.ts';
import { removePodFiles } from './volumes.ts';

const { signal } = new AbortController();
const plain = { fsType: '', mountOptions: [], readOnly: false };
let dir: string;
const devices: string[] = [];

/** One partition of Linux, from the first MiB on. */
function partitionTable(): Buffer {
  const sector = Buffer.alloc(512);
  sector[450] = 0x83;
  sector.writeUInt32LE(2048, 454);
  sector.writeUInt32LE(4096, 458);
  sector.writeUInt16BE(0x55aa, 510);
  return sector;
}

async function disk(name: string, content: string | Buffer = ''): Promise<string> {
  await writeFile(join(dir, name), content);
  await truncate(join(dir, name), 16 << 20);
  const device = (await execOk('losetup', ['--find', '--show', join(dir, name)])).trim();
  devices.push(device);
  return device;
}

beforeAll(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-disk-')); });
afterAll(async () => {
  for (const device of devices) await execOk('losetup', ['--detach', device]);
  await rm(dir, { recursive: true });
});

it('is formatted once for a claim of a local volume that is a device, mounted for each pod, and keeps what is on it', async () => {
  const device = await disk('blank');
  const volume = { name: 'v', persistentVolumeClaim: { claimName: 'data' } };
  const claim: PersistentVolumeClaim = { metadata: { name: 'data', namespace: 'default', uid: 'c', annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } }, spec: { volumeName: 'pv' } };
  const held: PersistentVolume = { metadata: { name: 'pv' }, spec: { claimRef: { name: 'data', namespace: 'default', uid: 'c' }, mountOptions: ['noatime'], local: { path: device } } };
  const lookup = { configMap: () => undefined, secret: () => undefined, services: () => [], runtimeClass: () => undefined, claim: () => claim, volume: () => held };
  const paths = (uid: string): ReturnType<typeof podPaths> => podPaths({ stateDir: dir }, { namespace: 'default', name: 'p', uid });
  const ensure = async (uid: string): Promise<string> => {
    const pod = testPod('p', { securityContext: { fsGroup: 3000 } });
    await ensureClaimedVolume(pod, volume, paths(uid), lookup, true, signal);
    return claimedFolder(pod, volume, paths(uid), lookup);
  };
  const first = await ensure('one');
  expect((await stat(first)).gid).toBe(3000);
  expect((await readFile('/proc/mounts', 'utf8')).split('\n').find((line) => line.includes(first))).toMatch(/ ext4 rw,noatime/);
  await writeFile(join(first, 'file'), 'kept');
  // Another pod beside it, and one after both.
  expect(await readFile(join(await ensure('two'), 'file'), 'utf8')).toBe('kept');
  for (const uid of ['one', 'two']) await removePodFiles(paths(uid), { releaseImage: () => Promise.resolve() }, signal);
  expect(await isMountPoint(first)).toBe(false);
  expect(await readFile(join(await ensure('three'), 'file'), 'utf8')).toBe('kept');
  await removePodFiles(paths('three'), { releaseImage: () => Promise.resolve() }, signal);
  expect(await readdir(join(dir, 'pods'))).toEqual([]);
});

it('is not formatted when something else is on it, or when it is only to be read', async () => {
  const [table, blank] = [await disk('table', partitionTable()), await disk('read-only')];
  const before = await execOk('sha256sum', [table, blank]);
  const target = join(dir, 'target');
  await expect(ensureDisk(table, target, plain, signal)).rejects.toThrow('it is not formatted');
  await expect(ensureDisk(blank, target, { ...plain, readOnly: true }, signal)).rejects.toMatchObject({ code: 'Invalid' });
  expect(await execOk('sha256sum', [table, blank])).toBe(before);
  await execOk('mkfs.ext4', ['-q', blank]);
  await expect(ensureDisk(blank, target, { ...plain, fsType: 'xfs' }, signal)).rejects.toThrow(/was to be mounted as xfs, and holds ext4|mkfs\.xfs/);
  await ensureDisk(blank, target, { ...plain, readOnly: true }, signal);
  await expect(writeFile(join(target, 'file'), '')).rejects.toThrow('EROFS');
  await execOk('umount', [target]);
});
