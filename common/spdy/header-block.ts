import { constants, createDeflate, createInflate, type Deflate, type Inflate } from 'node:zlib';
import { StatusError } from '../errors.ts';
import { headerDictionary } from './dictionary.ts';

/** Names in lower case. */
export type SpdyHeaders = ReadonlyMap<string, string>;

const maxBytes = 64 << 10;
const options = { dictionary: headerDictionary(), flush: constants.Z_SYNC_FLUSH, finishFlush: constants.Z_SYNC_FLUSH, chunkSize: 4096, windowBits: 11 } as const;

/** Header blocks of one direction of one connection: they share a compression context, so each must pass through in order. */
export class HeaderCodec {
  readonly #deflate: Deflate = createDeflate(options);
  /** The other end chooses its window. */
  readonly #inflate: Inflate = createInflate({ ...options, windowBits: 15 });

  constructor() {
    // Whoever waits is told; when nobody does, there is nobody to tell.
    for (const stream of [this.#deflate, this.#inflate]) stream.on('error', () => undefined);
  }

  encode(headers: SpdyHeaders): Promise<Buffer> {
    return through(this.#deflate, plainBlock(headers), Number.POSITIVE_INFINITY);
  }

  /** Rejects with `BadRequest` for what is no header block, or too large a one. */
  async decode(block: Uint8Array): Promise<SpdyHeaders> {
    return parseBlock(await through(this.#inflate, block, maxBytes));
  }

  close(): void {
    this.#deflate.destroy();
    this.#inflate.destroy();
  }
}

function through(stream: Deflate | Inflate, input: Uint8Array, limit: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const take = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes <= limit) chunks.push(chunk);
      else stream.destroy();
    };
    const done = (error?: Error | null): void => {
      stream.off('data', take).off('error', done).off('close', closed);
      if (bytes > limit) reject(broken('a header block is too large'));
      else if (error) reject(error instanceof StatusError ? error : broken(`a header block cannot be read: ${error.message}`));
      else resolve(Buffer.concat(chunks));
    };
    const closed = (): void => { done(broken('the connection is closed')); };
    stream.on('data', take).once('error', done).once('close', closed);
    stream.write(input, done);
  });
}

function plainBlock(headers: SpdyHeaders): Buffer {
  const parts: Buffer[] = [uint32(headers.size)];
  for (const [name, value] of headers) {
    for (const text of [name, value]) {
      const bytes = Buffer.from(text);
      parts.push(uint32(bytes.length), bytes);
    }
  }
  return Buffer.concat(parts);
}

function parseBlock(block: Buffer): SpdyHeaders {
  const headers = new Map<string, string>();
  let at = 0;
  const number = (): number => {
    if (at + 4 > block.length) throw broken('a header block is cut off');
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const size = number();
    if (at + size > block.length) throw broken('a header block is cut off');
    at += size;
    return block.toString('utf8', at - size, at);
  };
  for (let left = number(); left > 0; left--) headers.set(text().toLowerCase(), text());
  return headers;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function broken(why: string): StatusError {
  return new StatusError('BadRequest', `SPDY: ${why}`);
}
