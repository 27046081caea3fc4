import { chmod, chown, mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Payload } from './payload.ts';

/**
 * Makes `dir` show exactly the payload. A reader sees all old or all new files: each name is a symlink through
 * `..data`, which is exchanged in one rename. Does nothing when the content is the same. Layout as kubelet's, because
 * programs watch for the change of `..data`.
 */
export async function writeAtomically(dir: string, payload: Payload, fsGroup: number | undefined): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o755 });
  const before = await readlink(join(dir, '..data')).catch(() => undefined);
  if (before !== undefined && await isSame(join(dir, before), payload)) return;

  const fresh = await mkdtemp(join(dir, `..${new Date().toISOString().replaceAll(/[^0-9]/g, '_')}`));
  await chmod(fresh, 0o755);
  for (const [path, { data, mode, uid }] of payload) {
    const target = join(fresh, path);
    await mkdir(dirname(target), { recursive: true, mode: 0o755 });
    await writeFile(target, data);
    if (fsGroup !== undefined || uid !== undefined) await chown(target, uid ?? 0, fsGroup ?? 0);
    // Beyond the umask; and a group that may not read would make fsGroup pointless. As kubelet does.
    await chmod(target, fsGroup === undefined ? mode : mode | 0o440);
  }
  await symlink(fresh.slice(dir.length + 1), join(dir, '..data_tmp')).catch(async () => {
    await rm(join(dir, '..data_tmp'), { force: true });
    await symlink(fresh.slice(dir.length + 1), join(dir, '..data_tmp'));
  });
  await rename(join(dir, '..data_tmp'), join(dir, '..data'));
  await showNames(dir, payload);
  for (const name of await readdir(dir)) {
    if (name.startsWith('..') && name !== '..data' && join(dir, name) !== fresh) await rm(join(dir, name), { recursive: true, force: true });
  }
}

async function showNames(dir: string, payload: Payload): Promise<void> {
  const wanted = new Set([...payload.keys()].map((path) => path.split('/')[0] ?? ''));
  const present = new Set((await readdir(dir)).filter((name) => !name.startsWith('..')));
  for (const name of wanted) if (!present.has(name)) await symlink(join('..data', name), join(dir, name));
  for (const name of present) if (!wanted.has(name)) await rm(join(dir, name), { recursive: true, force: true });
}

async function isSame(dir: string, payload: Payload): Promise<boolean> {
  try {
    const entries = await readdir(dir, { recursive: true, withFileTypes: true });
    if (entries.filter((e) => e.isFile()).length !== payload.size) return false;
    for (const [path, { data, mode, uid }] of payload) {
      if (!data.equals(await readFile(join(dir, path)))) return false;
      const found = await stat(join(dir, path));
      if ((found.mode & 0o737) !== (mode & 0o737) || (uid !== undefined && found.uid !== uid)) return false;
    }
    return true;
  } catch {
    return false;
  }
}
