import { access, constants, mkdir, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { StatusError } from './errors.ts';

const reasons: Readonly<Record<string, string>> = {
  EACCES: 'permission denied', EPERM: 'permission denied', EROFS: 'the file system is read-only', ENOSPC: 'the disk is full',
  ENOTDIR: 'a part of the path is no directory', EEXIST: 'it is no directory', ENOENT: 'the file system there takes no directories', ENAMETOOLONG: 'the path is too long',
};

/** Makes the folder and those above it, and makes sure that files can be made in it. Rejects with what to do; `flag` is the setting that names it. */
export async function prepareFolder(path: string, flag: string, mode: number): Promise<void> {
  try {
    await makeFolders(resolve(path), mode);
    await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch (error) {
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new StatusError('Forbidden', `${resolve(path)} cannot be used: ${reasons[code] ?? message}; make it a directory that this user may read and write, or choose another with --${flag}`, { cause: error });
  }
}

/** One at a time: Node's own recursive mkdir never ends where a file system takes no directories (`/proc`). */
async function makeFolders(path: string, mode: number): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => { if (error.code !== 'ENOENT') throw error; });
  if (found?.isDirectory()) return;
  if (!found) await makeFolders(dirname(path), 0o755);
  await mkdir(path, { mode }).catch((error: NodeJS.ErrnoException) => { if (error.code !== 'EEXIST' || found) throw error; });
}
