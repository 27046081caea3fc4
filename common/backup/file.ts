import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../atomic-file.ts';

/** Writes a backup, for its owner alone to read. It takes its name when it is on the disk and `check`, which gets the path it has until then, is content; resolves with its size in bytes. */
export async function writeBackupFile(source: AsyncIterable<Uint8Array>, path: string, check: (unfinished: string) => Promise<unknown> = () => Promise.resolve()): Promise<number> {
  const unfinished = `${path}.unfinished`;
  let bytes = 0;
  try {
    await rm(unfinished, { force: true });
    const file = await open(unfinished, 'wx', 0o600);
    try {
      for await (const chunk of source) {
        await file.write(chunk);
        bytes += chunk.length;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await check(unfinished);
    await rename(unfinished, path);
    await syncFolder(dirname(path));
  } catch (error) {
    await rm(unfinished, { force: true }).catch(() => undefined);
    throw error;
  }
  return bytes;
}
