import { access, mkdir } from 'node:fs/promises';
import type { NFSVolumeSource } from '#api/gen/types.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import { isMountPoint } from './mounts.ts';

/** A server that does not answer must not hold a pod's worker for ever. */
const timeoutMs = 120_000;
const answerMs = 10_000;
const helpers = ['/sbin/mount.nfs', '/usr/sbin/mount.nfs'];

/** Mounts an export. `options` are those of the PersistentVolume. `signal` ends the attempt. */
export async function ensureNfs(dir: string, source: NFSVolumeSource, options: readonly string[], signal: AbortSignal): Promise<void> {
  if (await isMountPoint(dir)) return;
  const name = sourceOf(source);
  const helper = await Promise.any(helpers.map((path) => access(path).then(() => path))).catch(() => undefined);
  if (helper === undefined) throw new StatusError('ServiceUnavailable', `mount of nfs ${name} failed: this host has no mount.nfs: install it (Debian: nfs-common)`);
  await mkdir(dir, { recursive: true, mode: 0o750 });
  const all = [...source.readOnly ? ['ro'] : [], ...options];
  try {
    // Not by `mount`, which would leave its helper to mount whenever the server is back, when the pod may long be gone.
    await execOk(helper, [name, dir, ...(all.length > 0 ? ['-o', all.join(',')] : [])], { timeoutMs, signal });
  } catch (error) {
    signal.throwIfAborted();
    const why = isStatus(error, 'Timeout') ? `the server does not answer (waited ${String(timeoutMs / 1000)} s)` : messageOf(error);
    throw new StatusError('ServiceUnavailable', `mount of nfs ${name} failed: ${why}`, { cause: error });
  }
}

/**
 * Rejects when the server of a mounted export does not answer. To be asked before anything touches what is in it: this
 * program has few threads, and each would wait for the server; so would the runtime.
 */
export async function nfsAnswers(dir: string, source: NFSVolumeSource): Promise<void> {
  try {
    await execOk('stat', ['-f', dir], { timeoutMs: answerMs });
  } catch (error) {
    const why = isStatus(error, 'Timeout') ? `the server does not answer (waited ${String(answerMs / 1000)} s)` : messageOf(error);
    throw new StatusError('Timeout', `nfs ${sourceOf(source)}: ${why}`, { cause: error });
  }
}

function sourceOf({ server, path }: NFSVolumeSource): string {
  return `${server.includes(':') ? `[${server}]` : server}:${path}`;
}
