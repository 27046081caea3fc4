import { mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { HostPathVolumeSource } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';

/** Checks, or makes, what `type` asks for. */
export async function ensureHostPath({ path, type = '' }: HostPathVolumeSource): Promise<void> {
  if (type === 'DirectoryOrCreate') { await makeFolders(path); return; }
  if (type === 'FileOrCreate') { await (await open(path, 'a', 0o644)).close(); return; }
  const found = await stat(path).catch(() => undefined);
  if (type === '') {
    // Nothing is checked; and where nothing is, runtimes behind CRI make a directory. Others are not to differ.
    if (!found) await makeFolders(path);
    return;
  }
  const matches = found && {
    Directory: found.isDirectory(), File: found.isFile(), Socket: found.isSocket(), CharDevice: found.isCharacterDevice(), BlockDevice: found.isBlockDevice(),
  }[type];
  if (matches === undefined && found) throw new StatusError('Invalid', `unknown hostPath type ${type}`);
  if (!matches) throw new StatusError('NotFound', `hostPath type check failed: ${path} is not a ${type.toLowerCase()}`);
}

/** Like `mkdir -p`. Node's own `recursive` never ends where a file system refuses new folders as if their parent were missing (/proc). */
export async function makeFolders(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o755 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(path)).isDirectory()) return;
    const parent = dirname(path);
    if (code !== 'ENOENT' || await stat(parent).catch(() => undefined)) throw error;
    await makeFolders(parent);
    await mkdir(path, { mode: 0o755 });
  }
}
