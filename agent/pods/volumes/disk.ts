import { mkdir } from 'node:fs/promises';
import { messageOf, StatusError } from '#common/errors.ts';
import { exec, execOk } from '#common/exec.ts';
import { isMountPoint } from './mounts.ts';

export interface DiskOptions {
  /** Empty: what is on it, or ext4 where there is nothing. */
  readonly fsType: string;
  readonly mountOptions: readonly string[];
  readonly readOnly: boolean;
}

const defaultType = 'ext4';
/** A large disk takes a while. */
const formatMs = 600_000;
/** fsck's word that something is wrong still. */
const uncorrected = 4;
/** blkid found nothing that it knows. */
const blank = 2;

/**
 * Mounts the file system of a block device at `dir`. One that is blank is given a file system first; one that holds
 * anything else never is. Idempotent; several directories may show the same device.
 */
export async function ensureDisk(device: string, dir: string, { fsType, mountOptions, readOnly }: DiskOptions, signal: AbortSignal): Promise<void> {
  if (await isMountPoint(dir)) return;
  const found = await contentOf(device, signal);
  const type = fsType || found || defaultType;
  if (found === undefined) {
    if (readOnly) throw new StatusError('Invalid', `${device} has no file system, and is to be read only`);
    // Refuses a device that somebody mounts or formats at this moment (-F given once). Reserved blocks are for a host's own root.
    await execOk(`mkfs.${type}`, [...type.startsWith('ext') ? ['-q', '-F', '-m0'] : [], device], { timeoutMs: formatMs, signal });
  } else if (!readOnly) {
    const { exitCode, stdout } = await exec('fsck', ['-a', device], { timeoutMs: formatMs, signal }).catch(() => ({ exitCode: 0, stdout: '' }));
    if (exitCode === uncorrected) throw new StatusError('InternalError', `fsck found errors on ${device} that it could not correct: ${stdout.trim().slice(0, 500)}`);
  }
  await mkdir(dir, { recursive: true, mode: 0o750 });
  const options = [...readOnly ? ['ro'] : [], ...mountOptions];
  await execOk('mount', ['-t', type, ...options.length > 0 ? ['-o', options.join(',')] : [], device, dir], { signal }).catch((error: unknown) => {
    signal.throwIfAborted();
    throw new StatusError('InternalError', found === undefined || found === type ? messageOf(error) : `${device} was to be mounted as ${type}, and holds ${found}: ${messageOf(error)}`, { cause: error });
  });
}

/** The type of the file system; undefined where there is nothing at all. Rejects where there are partitions. */
async function contentOf(device: string, signal: AbortSignal): Promise<string | undefined> {
  const { exitCode, stdout, stderr } = await exec('blkid', ['-p', '-s', 'TYPE', '-s', 'PTTYPE', '-o', 'export', device], { signal });
  if (exitCode === blank) return undefined;
  if (exitCode !== 0) throw new StatusError('InternalError', `blkid cannot tell what is on ${device}: ${(stderr || stdout).trim()}`);
  const type = /^TYPE=(.+)$/m.exec(stdout)?.[1];
  if (type === undefined) throw new StatusError('Invalid', `${device} holds no file system but something else, a partition table perhaps (${stdout.trim().split('\n').at(-1) ?? ''}): it is not formatted`);
  return type;
}
