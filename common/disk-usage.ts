import { lstat, opendir } from 'node:fs/promises';
import { join } from 'node:path';

export interface DiskUsage { readonly bytes: number; readonly inodes: number }

/** What is in a directory of one file system: blocks, as `du` counts. What goes away meanwhile counts for nothing. */
export async function diskUsage(path: string, signal: AbortSignal): Promise<DiskUsage> {
  const root = await lstat(path).catch(() => undefined);
  if (!root) return { bytes: 0, inodes: 0 };
  let bytes = 0;
  const seen = new Set<number>();
  const folders: string[] = [];
  const count = (found: { readonly ino: number; readonly nlink: number; readonly blocks: number }): void => {
    // A file of several names is one.
    if (found.nlink > 1 && seen.has(found.ino)) return;
    seen.add(found.ino);
    bytes += found.blocks * 512;
  };
  count(root);
  if (root.isDirectory()) folders.push(path);
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    signal.throwIfAborted();
    const entries = await opendir(folder).catch(() => undefined);
    if (!entries) continue;
    for await (const entry of entries) {
      const inside = join(folder, entry.name);
      const found = await lstat(inside).catch(() => undefined);
      if (!found || found.dev !== root.dev) continue;
      count(found);
      if (found.isDirectory()) folders.push(inside);
    }
  }
  return { bytes, inodes: seen.size };
}
