import { open, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

/**
 * An append-only file of checksummed records: an 8-byte header that names format and version, then per record its
 * length, a checksum of the length, a checksum of the payload (each 4 bytes, big-endian) and the payload. The length
 * has its own checksum so that a damaged one cannot pass for a torn tail.
 */
const fileHeader = Buffer.from('CLEATcp\x01');
const recordHeaderBytes = 12;
const maxRecordBytes = 512 << 20;

export interface ReadResult {
  readonly records: readonly Buffer[];
  /** Where the next record goes: the end of the last good one. */
  readonly end: number;
  /** `torn`: bad bytes at the end, as an interrupted write leaves them. `damaged`: good records follow bad bytes. */
  readonly state: 'whole' | 'torn' | 'damaged' | 'foreign';
}

/** Reads all records up to the first that is not intact. `foreign` means that the file's header is not ours. */
export function readRecords(bytes: Buffer): ReadResult {
  const records: Buffer[] = [];
  if (!bytes.subarray(0, fileHeader.length).equals(fileHeader)) return { records, end: 0, state: 'foreign' };
  let end = fileHeader.length;
  while (end < bytes.length) {
    const payload = recordAt(bytes, end);
    if (!payload) return { records, end, state: recordFollows(bytes, end + 1) ? 'damaged' : 'torn' };
    records.push(payload);
    end += recordHeaderBytes + payload.length;
  }
  return { records, end, state: 'whole' };
}

function recordAt(bytes: Buffer, at: number): Buffer | undefined {
  const start = at + recordHeaderBytes;
  if (start > bytes.length) return undefined;
  const length = bytes.readUInt32BE(at);
  if (crc32(bytes.subarray(at, at + 4)) !== bytes.readUInt32BE(at + 4) || length > bytes.length - start) return undefined;
  const payload = bytes.subarray(start, start + length);
  return crc32(payload) === bytes.readUInt32BE(at + 8) ? payload : undefined;
}

/** Only one write can have been under way, so an intact record after a bad one means damage, not a torn tail. */
function recordFollows(bytes: Buffer, from: number): boolean {
  for (let at = from; at + recordHeaderBytes <= bytes.length; at++) {
    // cheap test first: a length that fits
    if (bytes.readUInt32BE(at) <= bytes.length - at - recordHeaderBytes && recordAt(bytes, at)) return true;
  }
  return false;
}

function frame(payload: Buffer): Buffer {
  if (payload.length > maxRecordBytes) throw new RangeError(`a checkpoint record of ${String(payload.length)} bytes is too large`);
  const header = Buffer.alloc(recordHeaderBytes);
  header.writeUInt32BE(payload.length, 0);
  header.writeUInt32BE(crc32(header.subarray(0, 4)), 4);
  header.writeUInt32BE(crc32(payload), 8);
  return Buffer.concat([header, payload]);
}

/** The bytes of a new file that holds one record. */
export function newFile(payload: Buffer): Buffer {
  return Buffer.concat([fileHeader, frame(payload)]);
}

/** Appends records, each on disk when its call resolves. */
export class LogFile {
  readonly #file: FileHandle;
  #size: number;
  #clean = true;

  private constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.#size = size;
  }

  /** Opens at `end`, cutting off what lies beyond. */
  static async open(path: string, end: number): Promise<LogFile> {
    const file = await open(path, 'r+');
    const log = new LogFile(file, end);
    try {
      if ((await file.stat()).size !== end) await log.#cutBack();
    } catch (error) {
      await file.close();
      throw error;
    }
    return log;
  }

  get size(): number { return this.#size; }

  /** After a rejection the file is as before; later appends may succeed (the disk was full). */
  async append(payload: Buffer): Promise<void> {
    const bytes = frame(payload);
    if (!this.#clean) await this.#cutBack();
    this.#clean = false;
    try {
      for (let done = 0; done < bytes.length;) done += (await this.#file.write(bytes, done, bytes.length - done, this.#size + done)).bytesWritten;
      await this.#file.datasync();
    } catch (error) {
      await this.#cutBack().catch(() => undefined); // not clean: tried again before the next append
      throw error;
    }
    this.#clean = true;
    this.#size += bytes.length;
  }

  async #cutBack(): Promise<void> {
    await this.#file.truncate(this.#size);
    await this.#file.sync();
    this.#clean = true;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
