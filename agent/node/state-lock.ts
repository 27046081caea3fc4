import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, StatusError } from '#common/errors.ts';
import { containerdPaths } from '../runtimes/containerd/paths.ts';
import { processRef } from '../runtimes/process.ts';

const prefix = 'running.';

/**
 * Keeps two agents from using one state directory. Each puts a file with its process id there first and then looks for
 * others: of two that start together at least one sees the other, so never both go on. The file of a process that has
 * ended, or of an earlier boot, counts for nothing and is removed. Where a disk that is full or broken takes no file, the
 * run directory has it: pods of such a host are looked after all the same.
 */
export async function lockState(stateDir: string, runDir = containerdPaths(stateDir).runDir): Promise<() => Promise<void>> {
  const folder = join(stateDir, 'agent');
  const boot = await bootId();
  const own = nameOf(boot, process.pid, (await processRef(process.pid))?.startTime ?? '');
  const unlock = async (): Promise<void> => { for (const place of [folder, runDir]) await rm(join(place, own), { force: true }).catch(() => undefined); };
  let others: number[];
  try {
    // Others may pass through: programs in pods read their volumes below it.
    await mkdir(stateDir, { recursive: true, mode: 0o711 });
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await writeFile(join(folder, own), '').catch(async (error: unknown) => {
      if (!isDiskFailure(error)) throw error;
      await mkdir(runDir, { recursive: true, mode: 0o711 });
      await writeFile(join(runDir, own), '');
    });
    others = [...await othersIn(folder, own, boot), ...await othersIn(runDir, own, boot)];
  } catch (error) {
    throw new StatusError('InternalError', `cannot use the state directory ${stateDir}: ${messageOf(error)}; check that it can be written, or choose another with --state-dir`, { cause: error });
  }
  if (others.length > 0) {
    await unlock();
    throw new StatusError('Conflict', `another agent (process ${others.join(', ')}) uses the state directory ${stateDir}; stop it first, or give this one its own with --state-dir`);
  }
  return unlock;
}

async function othersIn(folder: string, own: string, boot: string): Promise<number[]> {
  const running: number[] = [];
  for (const name of await readdir(folder).catch(missing)) {
    if (!name.startsWith(prefix) || name === own) continue;
    const pid = Number(name.slice(prefix.length).split('.')[1]);
    const ref = await processRef(pid);
    if (ref && nameOf(boot, pid, ref.startTime) === name) running.push(pid);
    else await rm(join(folder, name), { force: true }).catch(() => undefined);
  }
  return running;
}

function missing(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return [];
  throw error;
}

function isDiskFailure(error: unknown): boolean {
  return ['EROFS', 'ENOSPC', 'EDQUOT', 'EIO'].includes((error as NodeJS.ErrnoException).code ?? '');
}

/** A process id alone is used again; with its start it names a process of this boot. */
function nameOf(boot: string, pid: number, startTime: string): string {
  return `${prefix}${boot}.${String(pid)}.${startTime}`;
}

async function bootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim().slice(0, 8);
}
