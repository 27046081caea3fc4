import { createReadStream } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { messageOf, StatusError } from '#common/errors.ts';
import { ArchiveReader, type ArchivedImage } from '#common/image-archive.ts';
import type { Io } from '../types.ts';
import type { ArchiveSource } from './transfer.ts';

const stepBytes = 4096;

/** The archive at `path`, or on standard input for `-`. */
export async function archiveAt(path: string, io: Io): Promise<ArchiveSource> {
  if (path === '-') return { chunks: io.stdin as AsyncIterable<Uint8Array>, totalBytes: 0 };
  try {
    const { size } = await stat(path);
    return { chunks: createReadStream(path, { highWaterMark: 256 << 10 }) as AsyncIterable<Uint8Array>, totalBytes: size };
  } catch (error) {
    throw new StatusError('NotFound', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
}

/** What is in it, without reading its layers; empty for one that is packed, or no image archive, or on standard input: the nodes will say. */
export async function imagesIn(path: string): Promise<ArchivedImage[]> {
  if (path === '-') return [];
  const file = await open(path);
  try {
    const reader = new ArchiveReader();
    const buffer = Buffer.alloc(stepBytes);
    for (let at = 0; ; at += reader.skip()) {
      const { bytesRead } = await file.read(buffer, 0, stepBytes, at);
      if (bytesRead === 0) return reader.images();
      reader.push(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}
