import { randomBytes } from 'node:crypto';
import { open, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, StatusError } from './errors.ts';

/** A file that has no name any more: its space is free again when it is closed, or its process ends in whatever way. */
export interface Spooled { readonly file: FileHandle; readonly bytes: number }

/** Writes what comes to a file without a name in `folder`. The source's own errors come through as they are. */
export async function spool(source: AsyncIterable<Uint8Array>, folder: string): Promise<Spooled> {
  const path = join(folder, `.cleat-${randomBytes(8).toString('hex')}`);
  const file = await open(path, 'wx+', 0o600).catch((error: unknown) => { throw unwritable(folder, error); });
  try {
    await rm(path);
    let bytes = 0;
    for await (const chunk of source) {
      await file.writeFile(chunk).catch((error: unknown) => { throw unwritable(folder, error); });
      bytes += chunk.length;
    }
    return { file, bytes };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function unwritable(folder: string, error: unknown): StatusError {
  return new StatusError('InternalError', `an image cannot be kept in ${folder} for the moment: ${messageOf(error)}`, { cause: error });
}
