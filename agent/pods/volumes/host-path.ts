import type { Stats } from 'node:fs';
import { mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { HostPathVolumeSource } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';

interface Kind { readonly what: string; readonly is: (found: Stats) => boolean }

const directory: Kind = { what: 'directory', is: (found) => found.isDirectory() };
const file: Kind = { what: 'file', is: (found) => found.isFile() };
/** By type, in kubelet's words. */
const kinds: Readonly<Record<string, Kind>> = {
  Directory: directory, DirectoryOrCreate: directory, File: file, FileOrCreate: file,
  Socket: { what: 'socket file', is: (found) => found.isSocket() },
  CharDevice: { what: 'character device', is: (found) => found.isCharacterDevice() },
  BlockDevice: { what: 'block device', is: (found) => found.isBlockDevice() },
};

/** Checks, or makes, what `type` asks for. */
export async function ensureHostPath({ path, type = '' }: HostPathVolumeSource): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (!found && type === 'DirectoryOrCreate') { await makeFolders(path); return; }
  if (!found && type === 'FileOrCreate') { await (await open(path, 'a', 0o644)).close(); return; }
  if (type === '') {
    // Nothing is checked; and where nothing is, runtimes behind CRI make a directory. Others are not to differ.
    if (!found) await makeFolders(path);
    return;
  }
  const kind = kinds[type];
  if (!kind) throw new StatusError('Invalid', `unknown hostPath type ${type}`);
  if (!found || !kind.is(found)) throw new StatusError('NotFound', `hostPath type check failed: ${path} is not a ${kind.what}`);
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
