import { open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';

const reserveBytes = 256 << 10;

/**
 * Space set aside for a full disk: without it an agent could not note that a pod is to be deleted, which may be the
 * very thing that frees the disk. Best effort: a disk that is full already gets none.
 */
export async function keepReserve(folder: string): Promise<void> {
  const path = reservePath(folder);
  if (await stat(path).then((s) => s.size === reserveBytes, () => false)) return;
  try {
    const file = await open(path, 'w', 0o600);
    try {
      await file.writeFile(Buffer.alloc(reserveBytes));
      await file.sync();
    } finally {
      await file.close();
    }
  } catch {
    await rm(path, { force: true }).catch(() => undefined);
  }
}

/** Gives the space back. */
export async function releaseReserve(folder: string): Promise<void> {
  await rm(reservePath(folder), { force: true });
}

export function isDiskFull(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT';
}

function reservePath(folder: string): string {
  return join(folder, 'reserve');
}
