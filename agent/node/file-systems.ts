import { readFile, stat, statfs } from 'node:fs/promises';
import { deviceName } from '#agent/runtimes/cgroup-details.ts';
import type { FileSystemUsage } from '#common/container-details.ts';

/** The file systems that folders are on, each once; those that cannot be looked at, or of which nobody can say what they are on, are left out. */
export async function fileSystemsOf(folders: readonly string[]): Promise<FileSystemUsage[]> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  const found = await Promise.all(folders.map(async (folder) => {
    try {
      const [{ dev }, { bsize, blocks, bfree, files, ffree }] = await Promise.all([stat(folder), statfs(folder)]);
      const device = deviceOf(dev, mounts);
      return device === undefined ? [] : [{ device, capacityBytes: blocks * bsize, usedBytes: (blocks - bfree) * bsize, inodes: files, inodesFree: ffree }];
    } catch {
      return [];
    }
  }));
  return [...new Map(found.flat().map((one) => [one.device, one])).values()];
}

/** What is below /dev, or what mount calls it where that is no block device; see proc_pid_mountinfo(5). */
export function deviceOf(dev: number, mounts: string): string | undefined {
  const number = `${String(((dev >>> 8) & 0xfff) + Math.floor(dev / 2 ** 32) * 0x1000)}:${String((dev & 0xff) | ((dev >>> 12) & 0xfff00))}`;
  return deviceName(number) ?? mounts.split('\n').map((line) => line.split(' ')).flatMap((fields) => (fields[2] === number ? fields[fields.indexOf('-') + 2] ?? [] : []))[0];
}
