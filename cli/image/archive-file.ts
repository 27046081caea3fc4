import { existsSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { partsOf, rangeOf, type PartsOfFile } from '#common/archive-parts.ts';
import { isStatus, messageOf, StatusError } from '#common/errors.ts';
import { ArchiveReader, type ArchivedImage } from '#common/image-archive.ts';
import { spool } from '#common/spool.ts';
import { unpacked } from '#common/unpacked.ts';
import type { Io } from '../types.ts';

const stepBytes = 4096;
/** Of a tar archive, which is what an archive is when it is not packed. */
const magic = { at: 257, text: 'ustar' };

/** An archive that can be read as often as it is needed. */
export interface ArchiveFile {
  readonly bytes: number;
  /** Undefined for what is not taken apart: the nodes will say what they think of it. */
  readonly parts: PartsOfFile | undefined;
  read(offset?: number, size?: number): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** The archive at `path`, or on standard input for `-`. One that is packed is unpacked. */
export async function archiveAt(path: string, io: Io): Promise<ArchiveFile> {
  if (path === '-') return archiveOf(io.stdin as AsyncIterable<Uint8Array>, io.interrupted);
  let file: FileHandle;
  try {
    file = await open(path);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(magic.text.length), 0, magic.text.length, magic.at);
    if (bytesRead === magic.text.length && buffer.toString('latin1') === magic.text) return await inParts(file, (await file.stat()).size, io.interrupted);
  } catch (error) {
    throw new StatusError('NotFound', `${path} cannot be read: ${messageOf(error)}`, { cause: error });
  }
  try {
    return await archiveOf(rangeOf(file, 0, (await file.stat()).size), io.interrupted);
  } finally {
    await file.close();
  }
}

/** What comes is kept in a file without a name until it is closed. */
export async function archiveOf(chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<ArchiveFile> {
  // /tmp may be memory.
  const folder = tmpdir() === '/tmp' && existsSync('/var/tmp') ? '/var/tmp' : tmpdir();
  const { file, bytes } = await spool(unpacked(chunks), folder);
  return inParts(file, bytes, signal);
}

async function inParts(file: FileHandle, bytes: number, signal: AbortSignal): Promise<ArchiveFile> {
  const parts = await partsOf(file, bytes, signal).catch((error: unknown) => {
    if (isStatus(error, 'Invalid')) return undefined;
    throw error;
  });
  return { bytes, parts, read: (offset = 0, size = bytes) => rangeOf(file, offset, size), close: () => file.close() };
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
