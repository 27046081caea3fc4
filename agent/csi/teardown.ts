import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { podRecords, podsDir, recordPath, removeEmpty, stagedRecords, stagingPath, targetPath } from './layout.ts';
import { takeAway } from './volumes.ts';

/** Unmounts what drivers mounted for pods, without asking the drivers: their own pods are gone by then. Resolves with how many. */
export async function removeCsiVolumes(kubeletDir: string): Promise<number> {
  const records = await podRecords(kubeletDir);
  for (const { folder, volumeLifecycleMode } of records) {
    await takeAway(targetPath(folder), volumeLifecycleMode === 'Ephemeral');
    await rm(recordPath(folder), { force: true });
    await removeEmpty(folder, podsDir(kubeletDir));
  }
  for (const { folder } of await stagedRecords(kubeletDir)) {
    await takeAway(stagingPath(folder), false);
    await rm(recordPath(folder), { force: true });
    await removeEmpty(folder, dirname(dirname(dirname(dirname(folder)))));
  }
  return records.length;
}
