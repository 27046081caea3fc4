import { access, mkdir } from 'node:fs/promises';
import type { NFSVolumeSource } from '#api/gen/types.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import { isMountPoint } from './mounts.ts';

/** A server that does not answer must not hold a pod's worker for ever. */
const timeoutMs = 120_000;
const helpers = ['/sbin/mount.nfs', '/usr/sbin/mount.nfs'];

/** Mounts an export. `options` are those of the PersistentVolume. */
export async function ensureNfs(dir: string, { server, path, readOnly }: NFSVolumeSource, options: readonly string[]): Promise<void> {
  if (await isMountPoint(dir)) return;
  await mkdir(dir, { recursive: true, mode: 0o750 });
  const all = [...readOnly ? ['ro'] : [], ...options];
  const source = `${server.includes(':') ? `[${server}]` : server}:${path}`;
  try {
    await execOk('mount', ['-t', 'nfs', ...(all.length > 0 ? ['-o', all.join(',')] : []), source, dir], { timeoutMs });
  } catch (error) {
    const present = await Promise.any(helpers.map((helper) => access(helper))).then(() => true, () => false);
    throw new StatusError('ServiceUnavailable', `mount of nfs ${source} failed: ${messageOf(error)}${present ? '' : '; this host has no mount.nfs: install it (Debian: nfs-common)'}`, { cause: error });
  }
}
