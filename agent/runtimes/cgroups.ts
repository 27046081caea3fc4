import { readdir, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Removes a cgroup and those below it from every hierarchy. A cgroup that something still lives in is left; the next removal gets it. */
export async function removeCgroup(path: string): Promise<void> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' ')).filter(([, , type]) => type === 'cgroup' || type === 'cgroup2');
  await Promise.all(mounts.map(([, mount = '']) => removeTree(join(mount, path))));
}

async function removeTree(dir: string): Promise<void> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(dir, entry.name));
  await rmdir(dir).catch(() => undefined);
}
