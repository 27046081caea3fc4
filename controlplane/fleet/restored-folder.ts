import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { syncFolder } from '#common/atomic-file.ts';
import { controlPlaneOn } from '#common/lock-holder.ts';
import { StatusError } from '#common/errors.ts';

/** Where a restore writes, and what that is called once it is whole. */
export const unfinishedName = 'server.restoring';
export const restoredName = 'server.restored';

/**
 * Puts a restored cluster that is whole in its place; what was there is kept beside it. A restore ends with this, and a control
 * plane begins with it: one that was cut off in between is finished by whoever comes first. Resolves with where the old one is.
 */
export async function takeRestored(stateDir: string): Promise<string | undefined> {
  const [own, restored] = [join(stateDir, 'server'), join(stateDir, restoredName)];
  if (!existsSync(restored)) return undefined;
  await requireStopped(stateDir);
  const kept = existsSync(own) ? freeName(`${own}.before-restore`) : undefined;
  if (kept !== undefined) await rename(own, kept);
  await rename(restored, own);
  await syncFolder(stateDir);
  return kept;
}

export async function requireStopped(stateDir: string): Promise<void> {
  const holder = await controlPlaneOn(stateDir);
  if (holder !== undefined) throw new StatusError('Conflict', `a control plane (process ${holder}) uses ${stateDir}; stop it first (systemctl stop cleat-controlplane)`);
}

function freeName(wanted: string): string {
  let name = wanted;
  for (let n = 2; existsSync(name); n++) name = `${wanted}-${String(n)}`;
  return name;
}
