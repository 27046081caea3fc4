import { mkdir, open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** The process that holds a POSIX lock on the file, as LevelDB does; undefined when nobody does, or there is no such file. Source: proc(5), /proc/locks. */
export async function lockHolder(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (!found) return undefined;
  const locks = await readFile('/proc/locks', 'utf8');
  return locks.split('\n').map((line) => line.trim().split(/\s+/)).find((fields) => fields[1] === 'POSIX' && fields[5]?.endsWith(`:${String(found.ino)}`))?.[4];
}

/** The control plane that runs on a state directory, whatever it keeps the cluster in: its process id. Sees those of others as root only. */
export async function controlPlaneOn(stateDir: string): Promise<string | undefined> {
  return await lockHolder(join(stateDir, 'server/store/LOCK')) ?? await openedBy(inUse(stateDir));
}

/** For a control plane that has nothing on this host that it locks: shows that it runs, until what this resolves with is called, or the process ends. */
export async function showInUse(stateDir: string): Promise<() => Promise<void>> {
  await mkdir(join(stateDir, 'server'), { recursive: true, mode: 0o700 });
  const file = await open(inUse(stateDir), 'a', 0o600);
  return () => file.close();
}

function inUse(stateDir: string): string {
  return join(stateDir, 'server/in-use');
}

/** The first process that has the file open. */
async function openedBy(path: string): Promise<string | undefined> {
  const wanted = await stat(path).catch(() => undefined);
  if (!wanted) return undefined;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const folder = `/proc/${pid}/fd`;
    for (const fd of await readdir(folder).catch(() => [])) {
      const found = await stat(`${folder}/${fd}`).catch(() => undefined);
      if (found?.ino === wanted.ino && found.dev === wanted.dev) return pid;
    }
  }
  return undefined;
}
