import { readFile } from 'node:fs/promises';
import { diskUsage, type DiskUsage } from '#common/disk-usage.ts';

/** What is in the upper layers of overlays that are mounted at these paths. Of a root that is a copy nobody knows what was written. */
export async function writtenIn(idsByPath: ReadonlyMap<string, string>, signal: AbortSignal): Promise<ReadonlyMap<string, DiskUsage>> {
  const found = new Map<string, DiskUsage>();
  for (const line of (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')) {
    const id = idsByPath.get(line.split(' ')[4] ?? '');
    const upper = / - overlay .*[ ,]upperdir=([^, ]+)/.exec(line)?.[1];
    if (id !== undefined && upper !== undefined) found.set(id, await diskUsage(upper, signal));
  }
  return found;
}
