import { crc32 } from 'node:zlib';

/**
 * What is on disk. One row per durable write, under a name that sorts by revision and with what must be there
 * besides it; one `meta` row for what compaction removed. Every row begins with a CRC-32 over its name and
 * its bytes, because LevelDB checks neither blocks on reads nor drops of its own log.
 */
export interface Row {
  readonly revision: number;
  readonly deleted: boolean;
  readonly key: string;
  readonly createRevision: number;
  /** The durable revision before this one: a missing row breaks the chain. */
  readonly chain: number;
  /** How many keys live on disk after this write, and the sum of their rows' check sums modulo 2^32. */
  readonly count: number;
  readonly sum: number;
  readonly value: Uint8Array;
}

export interface DecodedRow extends Row {
  readonly crc: number;
}

/** The check sum doubles as the row's part in `Row.sum`. */
export interface EncodedRow {
  readonly bytes: Uint8Array;
  readonly value: Uint8Array;
  readonly crc: number;
  readonly sum: number;
}

/** Written when history is removed or revisions are reserved, in the same batch. */
export interface Meta {
  /** Newest durable revision then; `count` and `sum` as in its row. */
  readonly head: number;
  /** History before this revision is gone, and the newest durable revision up to it. */
  readonly compacted: number;
  readonly anchor: number;
  /** Revisions up to here may have been given to volatile keys. */
  readonly reserved: number;
  readonly count: number;
  readonly sum: number;
}

export const emptyMeta: Meta = { head: 0, compacted: 0, anchor: 0, reserved: 0, count: 0, sum: 0 };
/** After all rows: tables of new rows then overlap only the newest of the old, which keeps LevelDB's own compactions small. */
export const metaName = 'z';
/** Behind every name there is. */
export const afterMeta = 'z0';
export const firstRowName = 'r';
export const afterRowNames = 's';

const revisionDigits = 11;
const headerBytes = 33;

/** `r` and eleven base-36 digits, which hold every safe integer. */
export function rowName(revision: number): string {
  return `r${revision.toString(36).padStart(revisionDigits, '0')}`;
}

/** The revision in a row's name; undefined when it is not one. */
export function revisionOf(name: string): number | undefined {
  if (!/^r[0-9a-z]{11}$/.test(name)) return undefined;
  const revision = Number.parseInt(name.slice(1), 36);
  return Number.isSafeInteger(revision) ? revision : undefined;
}

/**
 * crc32, type (1 put, 2 delete), create revision, chain, key length, count, sum, key, value. The sum is what
 * `sumBefore` becomes with this row. The value is a view of the row's own allocation: a cached value never
 * pins a larger buffer.
 */
export function encodeRow(row: Omit<Row, 'sum'>, sumBefore: number): EncodedRow {
  const keyLength = Buffer.byteLength(row.key);
  const bytes = Buffer.allocUnsafeSlow(headerBytes + keyLength + row.value.length);
  bytes[4] = row.deleted ? 2 : 1;
  writeRevision(bytes, 5, row.createRevision);
  writeRevision(bytes, 13, row.chain);
  bytes.writeUInt32LE(keyLength, 21);
  bytes.write(row.key, headerBytes);
  bytes.set(row.value, headerBytes + keyLength);
  bytes.writeUInt32LE(row.count, 25);
  bytes.writeUInt32LE(sumBefore, 29);
  const crc = sumOf(rowName(row.revision), bytes);
  bytes.writeUInt32LE(crc, 0);
  return { bytes, value: bytes.subarray(headerBytes + keyLength), crc, sum: row.deleted ? sumBefore : (sumBefore + crc) >>> 0 };
}

/** The row, or undefined when its bytes are not what was written under this name. */
export function decodeRow(name: string, stored: Uint8Array): DecodedRow | undefined {
  const bytes = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength);
  const revision = revisionOf(name);
  if (revision === undefined || bytes.length < headerBytes) return undefined;
  const crc = bytes.readUInt32LE(0);
  if (crc !== sumOf(name, bytes) || (bytes[4] !== 1 && bytes[4] !== 2)) return undefined;
  const valueStart = headerBytes + bytes.readUInt32LE(21);
  const deleted = bytes[4] === 2;
  const sumBefore = bytes.readUInt32LE(29);
  return {
    revision,
    crc,
    deleted,
    createRevision: readRevision(bytes, 5),
    chain: readRevision(bytes, 13),
    count: bytes.readUInt32LE(25),
    sum: deleted ? sumBefore : (sumBefore + crc) >>> 0,
    key: bytes.toString('utf8', headerBytes, valueStart),
    value: bytes.subarray(valueStart),
  };
}

/** How many bytes of a sealed row are not sealed: room for the check sum, which is inside, and the type. */
export const sealedPrefix = 5;

/** The third type of row holds another row, encrypted; see `SealedRows`. */
export function markSealed(bytes: Buffer): void {
  bytes.fill(0, 0, 4);
  bytes[4] = 3;
}

export function isSealed(bytes: Uint8Array): boolean {
  return bytes[4] === 3 && bytes[0] === 0 && bytes[1] === 0 && bytes[2] === 0 && bytes[3] === 0;
}

/** The key of a row that is put or deleted; undefined for other bytes. Checks nothing else. */
export function keyOfRow(bytes: Uint8Array): string | undefined {
  if (bytes.length < headerBytes || (bytes[4] !== 1 && bytes[4] !== 2)) return undefined;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return view.toString('utf8', headerBytes, headerBytes + view.readUInt32LE(21));
}

/** Check sum in hexadecimal, a space, JSON: readable with any LevelDB tool. */
export function encodeMeta(meta: Meta): Uint8Array {
  const json = JSON.stringify(meta);
  return Buffer.from(`${crc32(json).toString(16)} ${json}`);
}

/** Undefined when the bytes are damaged. */
export function decodeMeta(stored: Uint8Array): Meta | undefined {
  const text = Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength).toString('utf8');
  const space = text.indexOf(' ');
  const json = text.slice(space + 1);
  if (space < 0 || crc32(json).toString(16) !== text.slice(0, space)) return undefined;
  return JSON.parse(json) as Meta;
}

function sumOf(name: string, bytes: Buffer): number {
  return crc32(bytes.subarray(4), crc32(name));
}

function writeRevision(bytes: Buffer, at: number, revision: number): void {
  bytes.writeUInt32LE(revision % 0x1_0000_0000, at);
  bytes.writeUInt32LE(Math.floor(revision / 0x1_0000_0000), at + 4);
}

function readRevision(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 4) * 0x1_0000_0000;
}
