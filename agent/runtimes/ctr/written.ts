import { readFile } from 'node:fs/promises';
import { diskUsage } from '#common/disk-usage.ts';

/** Bytes of the upper layers of overlays that are mounted at these paths. Of a root that is a copy nobody knows what was written. */
export async function writtenBytes(idsByPath: ReadonlyMap<string, string>, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
  const found = new Map<string, number>();
  for (const line of (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')) {
    const id = idsByPath.get(line.split(' ')[4] ?? '');
    const upper = / - overlay .*[ ,]upperdir=([^, ]+)/.exec(line)?.[1];
    if (id !== undefined && upper !== undefined) found.set(id, (await diskUsage(upper, signal)).bytes);
  }
  return found;
}
