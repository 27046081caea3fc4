import { chmod, constants, lstat, mkdir, open, readdir, realpath, rmdir, stat, unlink, writeFile, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join, relative, sep } from 'node:path';
import { StatusError } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import { isMountPoint, mountsBelow } from './mounts.ts';

/** Linux: names a file without opening it. Node does not list it. */
const pathOnly = 0o10000000;

/** A part of a volume that stays what it is, whatever becomes of its path. To be closed. */
export interface OpenPart {
  readonly handle: FileHandle;
  /** Where it was when it was opened. */
  readonly path: string;
}

/**
 * Opens what `subPath` names in the volume at `base`. Containers that run may exchange a directory there for a link at
 * any moment: so each step is taken from the one before and follows no link. What is missing is made, where `make`
 * allows it, with the mode of the volume, so that whoever may write in the volume may write there.
 */
export async function openSubPath(base: string, subPath: string, make: boolean): Promise<OpenPart> {
  if (subPath.startsWith('/') || subPath.split('/').includes('..')) throw new StatusError('Invalid', `subPath ${JSON.stringify(subPath)} must not leave the volume`);
  const root = await realpath(base);
  const { there, missing } = await split(root, subPath);
  if (missing.length > 0 && !make) throw new StatusError('NotFound', `subPath ${JSON.stringify(subPath)} is not in the image of the volume`);
  const mode = (await stat(root)).mode & 0o2777;
  let handle = await open(root, pathOnly | constants.O_DIRECTORY);
  try {
    for (const [names, isNew] of [[there, false], [missing, true]] as const) {
      for (const name of names) {
        const next = await step(handle, name, isNew ? mode : undefined, subPath);
        await handle.close();
        handle = next;
      }
    }
    return { handle, path: join(root, ...there, ...missing) };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The part of the path that is there, without links, and the rest. */
async function split(root: string, subPath: string): Promise<{ there: string[]; missing: string[] }> {
  const missing: string[] = [];
  let path = join(root, subPath);
  while (path !== root && !(await lstat(path).catch(() => undefined))) {
    missing.unshift(basename(path));
    path = dirname(path);
  }
  const real = await realpath(path);
  if (real !== root && !real.startsWith(root === sep ? sep : `${root}${sep}`)) throw new StatusError('Invalid', `subPath ${JSON.stringify(subPath)} leads out of the volume`);
  return { there: relative(root, real).split(sep).filter(Boolean), missing };
}

async function step(from: FileHandle, name: string, mode: number | undefined, subPath: string): Promise<FileHandle> {
  const path = `${pathOf(from)}/${name}`;
  const made = mode !== undefined && await mkdir(path, { mode }).then(() => true, (error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return false;
    throw new StatusError('Invalid', `failed to create subPath directory ${JSON.stringify(subPath)} in the volume: ${error.message.split(',')[0] ?? ''}`, { cause: error });
  });
  const handle = await open(path, pathOnly | constants.O_NOFOLLOW);
  if ((await handle.stat()).isSymbolicLink()) {
    await handle.close();
    throw new StatusError('Invalid', `subPath ${JSON.stringify(subPath)} leads out of the volume: it was exchanged for a link meanwhile`);
  }
  // Beyond the umask.
  if (made) await chmod(pathOf(handle), mode);
  return handle;
}

/** A path to what is open, for this process; for others while it lives with its number. */
function pathOf({ fd }: FileHandle, process = 'self'): string {
  return `/proc/${process}/fd/${String(fd)}`;
}

/** Mounts the part at `target`, where nobody can exchange it before the runtime comes for it. What is mounted there for an earlier container is used when it is the same. */
export async function pinSubPath({ handle }: OpenPart, target: string): Promise<void> {
  const wanted = await handle.stat();
  const found = await stat(target).catch(() => undefined);
  if (found?.dev === wanted.dev && found.ino === wanted.ino && await isMountPoint(target)) return;
  // Another part by now, or what a crash has left.
  if (found) await unpin(target);
  await mkdir(dirname(target), { recursive: true, mode: 0o750 });
  if (wanted.isDirectory()) await mkdir(target, { mode: 0o750 });
  else await writeFile(target, '', { mode: 0o640 });
  // As it is open: `mount` would look for its path otherwise. What is unmounted here is to stay where it comes from.
  await execOk('mount', ['--no-canonicalize', '--bind', '--make-slave', pathOf(handle, String(process.pid)), target]);
}

/** Unmounts all that `pinSubPath` mounted below `dir`. Nothing is removed that could be more than a mount point. */
export async function unpinSubPaths(dir: string): Promise<void> {
  for (const container of await readdir(dir).catch(() => [])) {
    for (const name of await readdir(join(dir, container))) await unpin(join(dir, container, name));
    await rmdir(join(dir, container));
  }
  await rmdir(dir).catch((error: NodeJS.ErrnoException) => { if (error.code !== 'ENOENT') throw error; });
}

async function unpin(target: string): Promise<void> {
  for (const mount of await mountsBelow(target)) await execOk('umount', ['-l', mount]);
  const isFolder = (await lstat(target)).isDirectory();
  await (isFolder ? rmdir(target) : unlink(target));
}
