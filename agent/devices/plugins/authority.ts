import { Duplex, Transform, type TransformCallback } from 'node:stream';

/**
 * Clients made with gRPC libraries for Go before 2023 send the path of the socket as `:authority`, slashes and all.
 * That is no authority, and Node's HTTP/2 resets such a stream, where other servers do not mind. Nobody needs the value
 * here: it is replaced by `localhost` on its way in, whatever it was.
 * Sources: RFC 9113 section 4 and 6.2 (frames), RFC 7541 section 5 and 6 (header fields).
 */
export function withPlainAuthority(socket: Duplex): Duplex {
  const rewrite = new AuthorityRewrite();
  socket.on('error', (error) => rewrite.destroy(error));
  return Duplex.from({ readable: socket.pipe(rewrite), writable: socket });
}

const prefaceBytes = 24;
const frameHeaderBytes = 9;
const maxHeaderFrameBytes = 64 << 10;
const headersType = 1;
const flags = { endHeaders: 0x4, padded: 0x8, priority: 0x20 } as const;
const authorityIndex = 1;
const plain = Buffer.from([9, ...Buffer.from('localhost')]);

/** Passes everything on but frames of headers, which are changed. */
class AuthorityRewrite extends Transform {
  #pending: Buffer = Buffer.alloc(0);
  #prefaceLeft = prefaceBytes;
  /** Bytes of a frame that are passed on as they come. */
  #passLeft = 0;

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    while (this.#step()) { /* one part after the other */ }
    done();
  }

  #step(): boolean {
    if (this.#pending.length === 0) return false;
    if (this.#prefaceLeft > 0) {
      this.#prefaceLeft -= this.#pass(this.#prefaceLeft);
      return true;
    }
    if (this.#passLeft > 0) {
      this.#passLeft -= this.#pass(this.#passLeft);
      return true;
    }
    if (this.#pending.length < frameHeaderBytes) return false;
    const length = this.#pending.readUIntBE(0, 3);
    if (this.#pending[3] !== headersType || length > maxHeaderFrameBytes) {
      this.#passLeft = frameHeaderBytes + length;
      return true;
    }
    if (this.#pending.length < frameHeaderBytes + length) return false;
    this.push(rewrittenFrame(this.#pending.subarray(0, frameHeaderBytes + length)));
    this.#pending = this.#pending.subarray(frameHeaderBytes + length);
    return true;
  }

  #pass(most: number): number {
    const part = this.#pending.subarray(0, most);
    this.push(part);
    this.#pending = this.#pending.subarray(part.length);
    return part.length;
  }
}

/** As it is where there is nothing to replace, or where it is not understood: then the server judges it. */
function rewrittenFrame(frame: Buffer): Buffer {
  const kind = frame[4] ?? 0;
  // What goes on in another frame may be cut anywhere.
  if ((kind & flags.endHeaders) === 0) return frame;
  const padding = (kind & flags.padded) === 0 ? 0 : frame[frameHeaderBytes] ?? 0;
  const begin = frameHeaderBytes + ((kind & flags.padded) === 0 ? 0 : 1) + ((kind & flags.priority) === 0 ? 0 : 5);
  const end = frame.length - padding;
  const value = authorityValue(frame.subarray(0, end), begin);
  if (!value) return frame;
  const payload = Buffer.concat([frame.subarray(frameHeaderBytes, value.begin), plain, frame.subarray(value.end)]);
  const header = Buffer.from(frame.subarray(0, frameHeaderBytes));
  header.writeUIntBE(payload.length, 0, 3);
  return Buffer.concat([header, payload]);
}

/** Where the text of a literal `:authority` stands, with its length. */
function authorityValue(block: Buffer, begin: number): { readonly begin: number; readonly end: number } | undefined {
  for (let at = begin; at < block.length;) {
    const first = block[at] ?? 0;
    if ((first & 0x80) !== 0) {
      at = integer(block, at, 7).next;
    } else if ((first & 0xe0) === 0x20) {
      at = integer(block, at, 5).next;
    } else {
      const name = integer(block, at, (first & 0x40) === 0 ? 4 : 6);
      const text = name.value === 0 ? afterString(block, name.next) : name.next;
      const next = afterString(block, text);
      if (name.value === authorityIndex) return next <= block.length ? { begin: text, end: next } : undefined;
      at = next;
    }
  }
  return undefined;
}

function afterString(block: Buffer, at: number): number {
  const { value, next } = integer(block, at, 7);
  return next + value;
}

function integer(block: Buffer, at: number, prefixBits: number): { readonly value: number; readonly next: number } {
  const most = 2 ** prefixBits - 1;
  let value = (block[at] ?? 0) & most;
  let next = at + 1;
  if (value < most) return { value, next };
  for (let factor = 1; next < block.length && factor < 2 ** 28; factor *= 128) {
    const byte = block[next++] ?? 0;
    value += (byte & 0x7f) * factor;
    if (byte < 0x80) return { value, next };
  }
  return { value: Infinity, next: Infinity };
}
