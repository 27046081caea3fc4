import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { StatusError } from '../errors.ts';

/**
 * A stream of bytes encrypted with AES-256-GCM under a passphrase or the contents of a key file, in chunks, so that
 * neither side holds all of it. Each chunk is bound to its place and to being the last or not: what is cut off,
 * repeated or swapped is noticed. A line of JSON at the beginning says how the key is made.
 */
interface Header { readonly format: 'cleat-sealed'; readonly version: 1; readonly salt: string; readonly prefix: string; readonly cost: number }

/** First bytes of a sealed stream. */
export const sealedMagic = Buffer.from('{"format":"cleat-sealed"');

const chunkBytes = 64 << 10;
const tagBytes = 16;
const prefixBytes = 7;
/** 32 MiB for the moment in which the key is made. */
const scryptCost = 1 << 15;
const maxHeaderBytes = 1000;

export async function* seal(source: AsyncIterable<Uint8Array>, secret: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  const [salt, prefix] = [randomBytes(16), randomBytes(prefixBytes)];
  const header: Header = { format: 'cleat-sealed', version: 1, salt: salt.toString('base64'), prefix: prefix.toString('base64'), cost: scryptCost };
  const line = Buffer.from(`${JSON.stringify(header)}\n`);
  const key = await keyOf(secret, salt, scryptCost);
  yield line;
  let number = 0;
  // One chunk is held back: the last one is marked.
  let held: Buffer | undefined;
  for await (const chunk of rechunked(source, chunkBytes)) {
    if (held) yield sealChunk(key, line, nonceOf(prefix, number++, false), held);
    held = chunk;
  }
  yield sealChunk(key, line, nonceOf(prefix, number, true), held ?? Buffer.alloc(0));
}

/** The opposite. Rejects with `Forbidden` for another secret, and with `Invalid` when something is missing or changed. */
export async function* unseal(source: AsyncIterable<Uint8Array>, secret: Buffer): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = source[Symbol.asyncIterator]();
  const { line, header, rest } = await readHeader(reader);
  const key = await keyOf(secret, Buffer.from(header.salt, 'base64'), header.cost);
  const prefix = Buffer.from(header.prefix, 'base64');
  let number = 0;
  let held: Buffer | undefined;
  for await (const chunk of rechunked(following(rest, reader), chunkBytes + tagBytes)) {
    if (held) yield openChunk(key, line, nonceOf(prefix, number, false), held, number++);
    held = chunk;
  }
  if (!held) throw damaged('it ends after its header');
  yield openChunk(key, line, nonceOf(prefix, number, true), held, number);
}

async function readHeader(reader: AsyncIterator<Uint8Array>): Promise<{ line: Buffer; header: Header; rest: Buffer }> {
  let start = Buffer.alloc(0);
  while (!start.includes(0x0a)) {
    const next = await reader.next();
    if (next.done === true || start.length > maxHeaderBytes) throw damaged('it has no header');
    start = Buffer.concat([start, next.value]);
  }
  const end = start.indexOf(0x0a) + 1;
  const line = start.subarray(0, end);
  const header = parseHeader(line);
  if (!header) throw damaged('its header cannot be read');
  return { line, header, rest: start.subarray(end) };
}

function parseHeader(line: Buffer): Header | undefined {
  try {
    const { format, version, salt, prefix, cost } = JSON.parse(line.toString()) as Record<string, unknown>;
    if (format !== 'cleat-sealed' || typeof salt !== 'string' || typeof prefix !== 'string' || typeof cost !== 'number') return undefined;
    if (version !== 1) throw new StatusError('Invalid', 'the backup was sealed by a newer Cleat; use that one');
    const bounded = Number.isInteger(Math.log2(cost)) && cost >= 2 && cost <= 1 << 20 && Buffer.from(prefix, 'base64').length === prefixBytes;
    return bounded ? { format, version, salt, prefix, cost } : undefined;
  } catch (error) {
    if (error instanceof StatusError) throw error;
    return undefined;
  }
}

async function* following(first: Buffer, reader: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield first;
    for (let next = await reader.next(); next.done !== true; next = await reader.next()) yield next.value;
  } finally {
    await reader.return?.();
  }
}

/** The same bytes in chunks of one size; only the last may be smaller, and none is empty. */
async function* rechunked(source: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Buffer, void, undefined> {
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of source) {
    waiting.push(part);
    bytes += part.length;
    if (bytes < size) continue;
    const all = Buffer.concat(waiting);
    let at = 0;
    for (; at + size <= all.length; at += size) yield all.subarray(at, at + size);
    waiting = [all.subarray(at)];
    bytes = all.length - at;
  }
  if (bytes > 0) yield Buffer.concat(waiting);
}

function sealChunk(key: Buffer, header: Buffer, nonce: Buffer, chunk: Buffer): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(header);
  return Buffer.concat([cipher.update(chunk), cipher.final(), cipher.getAuthTag()]);
}

function openChunk(key: Buffer, header: Buffer, nonce: Buffer, sealed: Buffer, number: number): Buffer {
  if (sealed.length < tagBytes) throw damaged('it was cut off');
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce).setAAD(header).setAuthTag(sealed.subarray(-tagBytes));
    return Buffer.concat([decipher.update(sealed.subarray(0, -tagBytes)), decipher.final()]);
  } catch (error) {
    if (number === 0) throw new StatusError('Forbidden', 'the backup cannot be opened: the passphrase or key file is another one than it was sealed with, or its beginning is damaged', { cause: error });
    throw damaged('it was cut off or changed', error);
  }
}

function nonceOf(prefix: Buffer, number: number, last: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  prefix.copy(nonce);
  nonce.writeUInt32BE(number, prefixBytes);
  nonce[11] = last ? 1 : 0;
  return nonce;
}

function damaged(why: string, cause?: unknown): StatusError {
  return new StatusError('Invalid', `the backup is damaged: ${why}; take another one`, { cause });
}

function keyOf(secret: Buffer, salt: Buffer, cost: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(secret, salt, 32, { N: cost, r: 8, p: 1, maxmem: 256 * cost * 8 }, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}
