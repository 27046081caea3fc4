import { createHash } from 'node:crypto';
import { basename, dirname, isAbsolute, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createGzip } from 'node:zlib';
import { isStatus, messageOf, StatusError } from '../errors.ts';
import { sealedMagic, unseal } from './seal.ts';

/** What a backup is of. The first record. */
export interface BackupHeader {
  readonly format: 'cleat-backup';
  readonly version: 1;
  readonly cleatVersion: string;
  readonly createdAt: string;
  /** SHA-256 of the cluster's CA: which cluster it is. */
  readonly caFingerprint: string;
  /** Newest revision of the store. */
  readonly revision: number;
  /** The control plane's settings that are not the defaults, as lines of its configuration file. */
  readonly settings: Readonly<Record<string, string>>;
  /** Where its configuration file was. */
  readonly configFile: string;
}

/** A file, with its path below the server's folder (`pki/ca.key`), or an absolute one for configuration that lay elsewhere. */
export interface BackupFile { readonly file: string; readonly mode: number; readonly data: Buffer }
/** A row of the store as `RowStore` has it, unsealed. */
export interface BackupRow { readonly row: string; readonly data: Buffer }
export type BackupRecord = BackupFile | BackupRow;

const maxLineBytes = 32 << 20;
const lineBatchBytes = 64 << 10;

/** A backup as gzipped lines of JSON: header, files, rows, and a last line with the sum of all before. */
export async function* writeArchive(header: BackupHeader, records: AsyncIterable<BackupRecord>): AsyncGenerator<Uint8Array, void, undefined> {
  const gzip = createGzip({ level: 6 });
  const fed = pipeline(Readable.from(batched(lines(header, records)), { objectMode: true }), gzip);
  // What goes wrong there ends the reading here, too.
  fed.catch(() => undefined);
  yield* gzip as AsyncIterable<Uint8Array>;
  await fed;
}

async function* lines(header: BackupHeader, records: AsyncIterable<BackupRecord>): AsyncGenerator<string, void, undefined> {
  const sum = createHash('sha256');
  let count = 0;
  const line = (value: unknown): string => {
    const text = `${JSON.stringify(value)}\n`;
    sum.update(text);
    return text;
  };
  yield line(header);
  for await (const record of records) {
    count++;
    yield line({ ...record, ...encoded(record.data) });
  }
  yield `${JSON.stringify({ end: true, count, sha256: sum.digest('hex') })}\n`;
}

/** Text where it is text, for that packs far better. */
function encoded(data: Buffer): { data: string; base64?: true } {
  const text = data.toString('utf8');
  return Buffer.from(text).equals(data) ? { data: text } : { data: data.toString('base64'), base64: true };
}

async function* batched(source: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  let batch = '';
  for await (const text of source) {
    batch += text;
    if (batch.length < lineBatchBytes) continue;
    yield batch;
    batch = '';
  }
  if (batch !== '') yield batch;
}

export interface OpenedArchive {
  readonly header: BackupHeader;
  /** Read it to its end: what is cut off or changed is known only then, and rejects with `Invalid`. */
  readonly records: AsyncGenerator<BackupRecord, void, undefined>;
}

/** Settings that name a file of configuration, which a backup holds under that path. */
const fileSettings = ['token-auth-file', 'audit-policy-file', 'scheduler-config'];

/** The files outside the server's folder that a backup may hold: those that its settings name, and no others. */
export function filesElsewhere({ settings }: BackupHeader): readonly string[] {
  return fileSettings.flatMap((flag) => settings[flag] ?? []);
}

/** Where such a file goes. An older Cleat kept a relative path as it was: nobody knows what it began from, so it goes beside the configuration. */
export function placeElsewhere(file: string, configFile: string): string {
  return isAbsolute(file) ? file : join(dirname(configFile), basename(file));
}

/** The settings with these files where they are now. */
export function settingsElsewhere({ settings }: BackupHeader, configFile: string): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(settings).map(([flag, value]) => [flag, fileSettings.includes(flag) ? placeElsewhere(value, configFile) : value]));
}

/** Reads what `writeArchive` wrote. With a `secret` it has to be sealed: nobody may put one in its place that anybody can write. */
export async function readArchive(source: AsyncIterable<Uint8Array>, secret: () => Promise<Buffer | undefined>): Promise<OpenedArchive> {
  const reader = jsonLines(plain(source, secret));
  const first = await reader.next();
  const header = first.done === true ? undefined : headerOf(first.value.value);
  if (!header || first.done === true) throw new StatusError('Invalid', 'this is no backup of Cleat');
  return { header, records: records(reader, first.value.text) };
}

async function* records(reader: AsyncGenerator<Line, void, undefined>, headerText: string): AsyncGenerator<BackupRecord, void, undefined> {
  const sum = createHash('sha256').update(headerText);
  let count = 0;
  for await (const { value, text } of reader) {
    if (value['end'] === true) {
      if (value['count'] !== count || value['sha256'] !== sum.digest('hex')) throw new StatusError('Invalid', 'the backup is damaged: its sum is another; take another one');
      return;
    }
    sum.update(text);
    count++;
    const { file, row, mode, data, base64 } = value;
    if (typeof data !== 'string') throw new StatusError('Invalid', 'the backup holds a record without data; was it made by a newer Cleat?');
    const bytes = Buffer.from(data, base64 === true ? 'base64' : 'utf8');
    if (typeof row === 'string') yield { row, data: bytes };
    else if (typeof file === 'string') yield { file, mode: Number(mode) & 0o777, data: bytes };
    else throw new StatusError('Invalid', 'the backup holds a record of an unknown kind; was it made by a newer Cleat?');
  }
  throw new StatusError('Invalid', 'the backup is cut off: its end is missing; take another one');
}

interface Line { readonly text: string; readonly value: Readonly<Record<string, unknown>> }

async function* jsonLines(source: AsyncIterable<Uint8Array>): AsyncGenerator<Line, void, undefined> {
  let rest: Buffer[] = [];
  let held = 0;
  for await (const chunk of source) {
    let from = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, from)) {
      const text = Buffer.concat([...rest, chunk.subarray(from, end + 1)]).toString('utf8');
      rest = [];
      held = 0;
      from = end + 1;
      yield { text, value: parseLine(text) };
    }
    held += chunk.length - from;
    if (held > maxLineBytes) throw new StatusError('Invalid', 'this is no backup of Cleat: it has a line that is too long');
    if (from < chunk.length) rest.push(Buffer.from(chunk.subarray(from)));
  }
}

function parseLine(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch { /* said below */ }
  throw new StatusError('Invalid', 'this is no backup of Cleat: a line is no JSON object');
}

function headerOf(value: Readonly<Record<string, unknown>>): BackupHeader | undefined {
  if (value['format'] !== 'cleat-backup') return undefined;
  if (value['version'] !== 1) throw new StatusError('Invalid', `the backup was made by Cleat ${String(value['cleatVersion'])}, whose format this one does not know; restore it with that version or a newer one`);
  const fits = typeof value['cleatVersion'] === 'string' && typeof value['createdAt'] === 'string' && typeof value['caFingerprint'] === 'string'
    && typeof value['revision'] === 'number' && typeof value['configFile'] === 'string' && typeof value['settings'] === 'object' && value['settings'] !== null;
  return fits ? value as unknown as BackupHeader : undefined;
}

/** Unsealed and unzipped. */
async function* plain(source: AsyncIterable<Uint8Array>, secret: () => Promise<Buffer | undefined>): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = source[Symbol.asyncIterator]();
  let start: Buffer = Buffer.alloc(0);
  while (start.length < sealedMagic.length) {
    const next = await reader.next();
    if (next.done === true) break;
    start = Buffer.concat([start, next.value]);
  }
  const whole = (async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    yield start;
    for (let next = await reader.next(); next.done !== true; next = await reader.next()) yield next.value;
  })();
  if (start.subarray(0, sealedMagic.length).equals(sealedMagic)) {
    const key = await secret();
    if (!key) throw new StatusError('Forbidden', 'the backup is sealed: say what with, by --key-file FILE or --passphrase');
    yield* unzipped(unseal(whole, key));
  } else if (start[0] === 0x1f && start[1] === 0x8b) {
    if (await secret()) throw new StatusError('Forbidden', 'the backup is not sealed, so the key says nothing of who made it; if it is surely yours, leave out --key-file and --passphrase');
    yield* unzipped(whole);
  } else throw new StatusError('Invalid', 'this is no backup of Cleat');
}

async function* unzipped(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const gunzip = createGunzip();
  const fed = pipeline(Readable.from(source, { objectMode: true }), gunzip);
  fed.catch(() => undefined);
  try {
    yield* gunzip as AsyncIterable<Uint8Array>;
    await fed;
  } catch (error) {
    if (isStatus(error)) throw error;
    throw new StatusError('Invalid', `the backup is damaged: ${messageOf(error)}; take another one`, { cause: error });
  }
}
