import { readFile } from 'node:fs/promises';
import { diskUsage } from '#common/disk-usage.ts';
import type { Written } from '../types.ts';

/** What is in the upper layers of overlays that are mounted at these paths. Of a root that is a copy nobody knows what was written. `stateDir` is the agent's. */
export async function writtenIn(idsByPath: ReadonlyMap<string, string>, stateDir: string, signal: AbortSignal): Promise<ReadonlyMap<string, Written>> {
  const found = new Map<string, Written>();
  for (const line of (await readFile('/proc/self/mountinfo', 'utf8')).split('\n')) {
    const id = idsByPath.get(line.split(' ')[4] ?? '');
    const upper = / - overlay .*[ ,]upperdir=([^, ]+)/.exec(line)?.[1];
    if (id !== undefined && upper !== undefined) found.set(id, { ...await diskUsage(upper, signal), withState: upper.startsWith(`${stateDir}/`) });
  }
  return found;
}
