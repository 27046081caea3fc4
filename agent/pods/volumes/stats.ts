import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Pod, Volume } from '#api/gen/types.ts';
import { execOk } from '#common/exec.ts';
import type { VolumeAmounts, VolumeUsage } from '#agent/session/types.ts';
import { diskUsage } from '#common/disk-usage.ts';
import type { PodPaths } from '../paths.ts';
import type { ObjectLookup } from '../spec/env.ts';

const statMs = 5000;

/**
 * What a volume of the pod holds, counted as kubelet counts that type: a directory on the host's disk by what is in it,
 * a file system of its own by its figures, a CSI driver's volume by its driver's word. Undefined for what nobody counts.
 */
export async function volumeUsage(pod: Pod, volume: Volume, paths: PodPaths, lookup: ObjectLookup, signal: AbortSignal): Promise<VolumeUsage | undefined> {
  const claim = volume.persistentVolumeClaim ?? volume.ephemeral ? (await import('./claims.ts')).claimOf(pod, volume, lookup) : undefined;
  const amounts = await amountsOf(pod, volume, paths, lookup, signal);
  return amounts && { name: volume.name, ...(claim?.metadata?.name !== undefined && { claim: claim.metadata.name }), ...amounts };
}

async function amountsOf(pod: Pod, volume: Volume, paths: PodPaths, lookup: ObjectLookup, signal: AbortSignal): Promise<VolumeAmounts | undefined> {
  const dir = join(paths.volumes, volume.name);
  if (volume.emptyDir) return (volume.emptyDir.medium ?? '') === '' ? ofDirectory(dir, signal) : ofFileSystem(dir);
  if (volume.configMap ?? volume.secret ?? volume.downwardAPI ?? volume.projected) return ofDirectory(dir, signal);
  if (volume.nfs) return ofDistant(dir, signal);
  if (volume.csi) return lookup.csi?.stats({ pod, volume, claimed: undefined }, signal);
  if (!volume.persistentVolumeClaim && !volume.ephemeral) return undefined;
  const { claimedFolder, volumeOf } = await import('./claims.ts');
  const claimed = volumeOf(pod, volume, lookup);
  if (claimed.spec?.csi) return lookup.csi?.stats({ pod, volume, claimed }, signal);
  if (claimed.spec?.volumeMode === 'Block' || claimed.spec?.hostPath) return undefined;
  const path = claimedFolder(pod, volume, paths, lookup);
  return claimed.spec?.nfs ? ofDistant(path, signal) : ofFileSystem(path);
}

async function ofDirectory(path: string, signal: AbortSignal): Promise<VolumeAmounts> {
  const [{ bytes, inodes }, disk] = [await diskUsage(path, signal), await ofFileSystem(path)];
  return { ...disk, usedBytes: bytes, inodesUsed: inodes };
}

export async function ofFileSystem(path: string): Promise<VolumeAmounts> {
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path);
  return figures({ unit: bsize, total: blocks, free: bfree, available: bavail, files, freeFiles: ffree });
}

/** A server that is away would hold one of this program's few threads for ever: another process asks. */
async function ofDistant(path: string, signal: AbortSignal): Promise<VolumeAmounts> {
  const answer = await execOk('stat', ['-f', '-c', '%S %b %f %a %c %d', path], { timeoutMs: statMs, signal });
  const [unit = 0, total = 0, free = 0, available = 0, files = 0, freeFiles = 0] = answer.trim().split(' ').map(Number);
  return figures({ unit, total, free, available, files, freeFiles });
}

function figures({ unit, total, free, available, files, freeFiles }: Readonly<Record<'unit' | 'total' | 'free' | 'available' | 'files' | 'freeFiles', number>>): VolumeAmounts {
  return {
    availableBytes: available * unit, capacityBytes: total * unit, usedBytes: (total - free) * unit,
    inodesFree: freeFiles, inodes: files, inodesUsed: files - freeFiles,
  };
}
