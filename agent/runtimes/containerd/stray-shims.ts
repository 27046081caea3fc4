import { readdir, readFile, readlink, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { messageOf } from '#common/errors.ts';
import { exec, execOk } from '#common/exec.ts';
import type { Log } from '#common/log.ts';
import { childrenOf, sendSignal } from '../process.ts';

/** Where CRI keeps its containers. What somebody runs in another namespace of our containerd is theirs. */
const namespace = 'k8s.io';

interface Shim {
  readonly pid: number;
  readonly program: string;
  readonly id: string;
  /** Its folder; absent when containerd has removed it. */
  readonly bundle: string | undefined;
}

/**
 * Ends shims that belong to no container. containerd leaves one behind when it is killed while it makes a pod, and also
 * when the agent is that asked it to. `pause` lies between two looks: a shim that is on its way out needs no help.
 */
export async function endStrayShims(socket: string, log: Log, pause: () => Promise<void>): Promise<void> {
  const suspects = await strayShims(socket);
  if (suspects.length === 0) return;
  await pause();
  for (const shim of await strayShims(socket)) {
    if (!suspects.some(({ pid, id }) => pid === shim.pid && id === shim.id)) continue;
    log.warn({ shim: shim.pid, container: shim.id }, 'a shim without a container was left behind; ending it');
    try {
      // Its own way of ending what it runs; what is then left of it is the process.
      if (shim.bundle !== undefined) await exec(shim.program, ['-namespace', namespace, '-address', socket, '-id', shim.id, '-bundle', shim.bundle, 'delete'], { cwd: shim.bundle }).catch(() => undefined);
      for (const pid of [...await childrenOf(shim.pid), shim.pid]) sendSignal(pid, 'SIGKILL');
      if (shim.bundle === undefined) continue;
      await exec('umount', [`${shim.bundle}/rootfs`]);
      await rm(shim.bundle, { recursive: true, force: true });
    } catch (error) {
      log.warn({ shim: shim.pid, err: messageOf(error) }, 'a shim that was left behind cannot be ended');
    }
  }
}

async function strayShims(socket: string): Promise<Shim[]> {
  // In this order: a container is noted before its shim is started.
  const shims = await shimsOf(socket);
  if (shims.length === 0) return [];
  const containers = new Set((await execOk('ctr', ['-a', socket, '-n', namespace, 'containers', 'ls', '-q'])).split('\n'));
  return shims.filter(({ id }) => !containers.has(id));
}

/** The shims that report to the containerd of this socket; several containers of a pod share one, named after its sandbox. */
async function shimsOf(socket: string): Promise<Shim[]> {
  const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 1);
  const shims = await Promise.all(pids.map(async (pid): Promise<Shim[]> => {
    const [program = '', ...args] = (await readFile(`/proc/${String(pid)}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const after = (flag: string): string | undefined => (args.includes(flag) ? args[args.indexOf(flag) + 1] : undefined);
    const id = after('-id');
    if (!basename(program).startsWith('containerd-shim') || after('-address') !== socket || after('-namespace') !== namespace || id === undefined) return [];
    const folder = await readlink(`/proc/${String(pid)}/cwd`).catch(() => '');
    return [{ pid, program, id, bundle: basename(folder) === id ? folder : undefined }];
  }));
  return shims.flat();
}
