import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { deflateSync, inflateSync } from 'node:zlib';
import { StatusError } from './errors.ts';
import { ArchiveReader, tarFile } from './image-archive.ts';

/** A file of an archive, known by what is in it. */
export interface Blob {
  /** `sha256:` and 64 hex digits. */
  readonly digest: string;
  readonly size: number;
}

/** A layer of an image: the file that it is in the archive, and the digest of what that is unpacked. */
export interface LayerName { readonly digest: string; readonly diffId: string }

/**
 * An archive as what must be sent of it: bytes as they are (headers, descriptions) and large files, which are known
 * by their digest, in turn. Put together again they are the same archive, byte by byte, of whatever format.
 */
export interface ArchiveParts {
  /** In their order: so many of the `literals`, or a blob, which is filled up to whole blocks. */
  readonly pieces: readonly (number | Blob)[];
  readonly literals: Buffer;
  /** Of each image its layers, the lowest first. */
  readonly layers: readonly (readonly LayerName[])[];
}

/** Parts of an archive on disk, and where in it each blob is. */
export interface PartsOfFile extends ArchiveParts { readonly offsets: ReadonlyMap<string, number> }

/** Smaller files are sent as they are: to ask who has them would cost more. */
const minBlobBytes = 32 << 10;
const maxLiteralBytes = 16 << 20;
const maxPieces = 20_000;
const readBytes = 256 << 10;
const blockBytes = 512;
const digestForm = /^sha256:[0-9a-f]{64}$/;

export function isDigest(value: unknown): value is string {
  return typeof value === 'string' && digestForm.test(value);
}

export function blobsOf({ pieces }: Pick<ArchiveParts, 'pieces'>): Map<string, number> {
  return new Map(pieces.flatMap((piece) => (typeof piece === 'number' ? [] : [[piece.digest, piece.size] as const])));
}

/** Takes an archive apart. Rejects with `Invalid` what is no archive, or has too much beside its large files. */
export async function partsOf(file: Pick<FileHandle, 'read'>, totalBytes: number, signal: AbortSignal): Promise<PartsOfFile> {
  const reader = new ArchiveReader();
  const pieces: (number | Blob)[] = [];
  const literals: Buffer[] = [];
  const offsets = new Map<string, number>();
  const digests = new Map<string, string>();
  let literalBytes = 0;
  const literal = async (at: number, size: number): Promise<Buffer> => {
    literalBytes += size;
    if (literalBytes > maxLiteralBytes || pieces.length > maxPieces) throw new StatusError('Invalid', 'what is no layer is too large for an image');
    const bytes = await bytesAt(file, at, size);
    reader.push(bytes);
    literals.push(bytes);
    const last = pieces.at(-1);
    if (typeof last === 'number') pieces[pieces.length - 1] = last + size;
    else if (size > 0) pieces.push(size);
    return bytes;
  };
  for (let at = 0; at < totalBytes;) {
    signal.throwIfAborted();
    const entry = tarFile(await literal(at, Math.min(blockBytes, totalBytes - at)));
    if (entry === undefined) throw new StatusError('Invalid', 'this is no image archive');
    at += blockBytes;
    const filled = Math.ceil(entry.size / blockBytes) * blockBytes;
    if (at + filled > totalBytes && entry.size > 0) throw new StatusError('Invalid', 'the archive is not whole');
    if (entry.isFile && entry.size >= minBlobBytes) {
      const digest = digestInPath(entry.path) ?? await digestOf(rangeOf(file, at, entry.size), signal);
      pieces.push({ digest, size: entry.size });
      offsets.set(digest, at);
      digests.set(entry.path, digest);
      if (reader.skip() === 0) reader.push(await bytesAt(file, at, filled));
    } else {
      await literal(at, filled);
    }
    at += filled;
  }
  const layers = reader.layers().map((image) => image.map(({ path, diffId }) => ({ diffId, digest: digests.get(path) ?? diffId })));
  return { pieces, literals: Buffer.concat(literals), layers, offsets };
}

/** The archive again. `open` brings a blob's bytes; where it brings none the file is there, and empty. */
export async function* wholeArchive({ pieces, literals }: ArchiveParts, open: (blob: Blob) => AsyncIterable<Uint8Array> | undefined): AsyncGenerator<Uint8Array, void, undefined> {
  let at = 0;
  for (const [i, piece] of pieces.entries()) {
    if (typeof piece === 'number') {
      const own = literals.subarray(at, at += piece);
      const next = pieces[i + 1];
      if (typeof next !== 'object') yield own;
      else {
        const source = open(next);
        yield source ? own : beforeNothing(own);
        if (source) yield* source;
        if (source) yield Buffer.alloc((blockBytes - (next.size % blockBytes)) % blockBytes);
      }
    }
  }
}

/** As JSON can hold it. */
export interface EncodedParts extends Pick<ArchiveParts, 'pieces' | 'layers'> { readonly literals: string }

export function encodeParts({ pieces, literals, layers }: ArchiveParts): EncodedParts {
  return { pieces, layers, literals: deflateSync(literals).toString('base64') };
}

/** Rejects with `BadRequest` what `encodeParts` did not make. */
export function decodeParts({ pieces, layers, literals: packed }: EncodedParts): ArchiveParts {
  const isSize = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
  const isPiece = (piece: unknown, i: number): boolean => (i % 2 === 0 ? isSize(piece) : typeof piece === 'object' && piece !== null && isDigest((piece as Blob).digest) && isSize((piece as Blob).size));
  const isLayer = (layer: unknown): boolean => typeof layer === 'object' && layer !== null && isDigest((layer as LayerName).digest) && isDigest((layer as LayerName).diffId);
  try {
    const literals = inflateSync(Buffer.from(packed, 'base64'), { maxOutputLength: maxLiteralBytes + 1 });
    const known = pieces.reduce<number>((total, piece) => total + (typeof piece === 'number' ? piece : 0), 0);
    if (pieces.length <= maxPieces + 1 && pieces.every(isPiece) && known === literals.length && layers.every((image) => image.every(isLayer))) return { pieces, literals, layers };
  } catch {
    // Said below.
  }
  throw new StatusError('BadRequest', 'parts of an archive that are not what the contract says');
}

/** Bytes of a file from one place on. */
export async function* rangeOf(file: Pick<FileHandle, 'read'>, offset: number, size: number): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < size;) {
    const bytes = await bytesAt(file, offset + at, Math.min(readBytes, size - at));
    at += bytes.length;
    yield bytes;
  }
}

async function bytesAt(file: Pick<FileHandle, 'read'>, offset: number, size: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(size);
  for (let at = 0; at < size;) {
    const { bytesRead } = await file.read(buffer, at, size - at, offset + at);
    if (bytesRead === 0) throw new StatusError('Invalid', 'the archive is not whole');
    at += bytesRead;
  }
  return buffer;
}

async function digestOf(source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of source) {
    signal.throwIfAborted();
    hash.update(chunk);
  }
  return `sha256:${hash.digest('hex')}`;
}

/** An OCI layout names its files so. Whoever receives one looks whether that is true. */
function digestInPath(path: string): string | undefined {
  const hex = /^(?:\.\/)?blobs\/sha256\/([0-9a-f]{64})$/.exec(path)?.[1];
  return hex === undefined ? undefined : `sha256:${hex}`;
}

/** Ends with the header of a file, which is made that of an empty one. */
function beforeNothing(bytes: Buffer): Buffer {
  const changed = Buffer.from(bytes);
  const header = changed.subarray(-blockBytes);
  header.write('00000000000\0', 124, 'latin1');
  header.fill(' ', 148, 156);
  header.write(`${header.reduce((total, byte) => total + byte, 0).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return changed;
}
