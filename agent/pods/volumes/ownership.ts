import { chmod, lchown, lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';

const groupRead = 0o440;
const groupWrite = 0o660;
const groupEnter = 0o110;
const setGroupId = 0o2000;

/**
 * Gives a volume to a group, with all that is in it: files that the group can read and write, directories that pass
 * the group on. `OnRootMismatch` looks at the volume's own directory only: where that is right already, so is the rest.
 */
export async function applyFsGroup(root: string, gid: number, policy: string | undefined, signal?: AbortSignal): Promise<void> {
  const found = await lstat(root);
  if (policy === 'OnRootMismatch' && found.gid === gid && hasMode(found.mode, modeOf(found.mode, true))) return;
  const folders = [root];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal?.throwIfAborted();
    const entries = await opendir(folder).catch(() => undefined);
    if (entries) {
      for await (const entry of entries) {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) folders.push(path);
        else await give(path, gid);
      }
    }
    // Last: a directory that is right says that what is in it is.
    await give(folder, gid);
  }
}

async function give(path: string, gid: number): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (!found) return;
  if (found.gid !== gid) await lchown(path, found.uid, gid);
  const mode = modeOf(found.mode, found.isDirectory());
  // A link's mode is nobody's; what it leads to may be outside.
  if (!found.isSymbolicLink() && !hasMode(found.mode, mode)) await chmod(path, mode & 0o7777);
}

function modeOf(mode: number, directory: boolean): number {
  return mode | groupRead | groupWrite | (directory ? groupEnter | setGroupId : 0);
}

function hasMode(mode: number, wanted: number): boolean {
  return (mode & wanted) === wanted;
}
