import { mkdir, readlink, rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { StatusError } from '#common/errors.ts';
import { processRef, readPidFile, writePidFile } from '../runtimes/process.ts';

/**
 * Keeps two agents out of one network namespace, whatever their state directories: they would write the same nftables
 * table and give the same addresses to pods. The claim of a process that has ended counts for nothing. Resolves with
 * what gives it back.
 */
export async function claimNetwork(runRoot = '/run/cleat'): Promise<() => Promise<void>> {
  const namespace = (await readlink('/proc/self/ns/net')).replaceAll(/\D/g, '');
  const path = join(runRoot, `network-${namespace}.pid`);
  await mkdir(runRoot, { recursive: true, mode: 0o711 });
  const holder = await readPidFile(path);
  if (holder) throw new StatusError('Conflict', `another agent (process ${String(holder.pid)}) runs in this host's network; stop it first: one network takes one agent, whatever the state directory`);
  const own = await processRef(process.pid);
  if (own) await writePidFile(path, own);
  return async () => {
    await rm(path, { force: true });
    await rmdir(runRoot).catch(() => undefined);
  };
}
