import { StatusError } from '../errors.ts';

/** Frames of SPDY/3.1 that carry something. The header block is still compressed. */
export type SpdyFrame =
  /** Data comes as it arrives: a frame of the wire may give several. */
  | { readonly type: 'data'; readonly stream: number; readonly data: Uint8Array; readonly fin: boolean }
  | { readonly type: 'syn-stream'; readonly stream: number; readonly block: Uint8Array; readonly fin: boolean }
  | { readonly type: 'syn-reply'; readonly stream: number; readonly block: Uint8Array; readonly fin: boolean }
  | { readonly type: 'headers'; readonly stream: number; readonly block: Uint8Array; readonly fin: boolean }
  | { readonly type: 'rst-stream'; readonly stream: number; readonly status: number }
  | { readonly type: 'ping'; readonly id: number }
  | { readonly type: 'go-away' };

const version = 3;
const control = 0x80;
const flagFin = 1;
const headBytes = 8;
const maxControlBytes = 64 << 10;
const types = { synStream: 1, synReply: 2, rstStream: 3, ping: 6, goAway: 7, headers: 8 } as const;

/** Takes a connection's bytes apart. Throws `BadRequest` when they are no SPDY; unknown frames are passed over. */
export class FrameReader {
  /** What has come of a frame's head, or of a control frame. */
  #held = Buffer.alloc(0);
  /** Of a data frame whose bytes still come. */
  #open: { readonly stream: number; readonly fin: boolean; left: number } | undefined;

  *push(chunk: Uint8Array): Generator<SpdyFrame, void, undefined> {
    let rest = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#held = Buffer.alloc(0);
    while (rest.length > 0) {
      if (this.#open) {
        const data = rest.subarray(0, this.#open.left);
        rest = rest.subarray(data.length);
        yield* this.#data(this.#open, data);
        continue;
      }
      const size = rest.length < headBytes ? undefined : rest.readUIntBE(5, 3);
      const isControl = ((rest[0] ?? 0) & control) !== 0;
      if (isControl && size !== undefined && size > maxControlBytes) throw new StatusError('BadRequest', `SPDY: a control frame of ${String(size)} bytes`);
      if (size === undefined || (isControl && rest.length < headBytes + size)) {
        // A copy: what comes from a socket is a view on a buffer that is used again.
        this.#held = Buffer.from(rest);
        return;
      }
      if (isControl) {
        const frame = controlFrame(rest.subarray(0, headBytes + size));
        rest = rest.subarray(headBytes + size);
        if (frame) yield frame;
      } else {
        this.#open = { stream: rest.readUInt32BE(0), fin: ((rest[4] ?? 0) & flagFin) !== 0, left: size };
        rest = rest.subarray(headBytes);
        if (size === 0) yield* this.#data(this.#open, rest.subarray(0, 0));
      }
    }
  }

  *#data(open: { readonly stream: number; readonly fin: boolean; left: number }, data: Buffer): Generator<SpdyFrame, void, undefined> {
    open.left -= data.length;
    if (open.left === 0) this.#open = undefined;
    yield { type: 'data', stream: open.stream, data, fin: open.fin && open.left === 0 };
  }
}

function controlFrame(frame: Buffer): SpdyFrame | undefined {
  if ((frame.readUInt16BE(0) & 0x7fff) !== version) throw new StatusError('BadRequest', `SPDY: version ${String(frame.readUInt16BE(0) & 0x7fff)}, not ${String(version)}`);
  const type = frame.readUInt16BE(2);
  const fin = ((frame[4] ?? 0) & flagFin) !== 0;
  const body = frame.subarray(headBytes);
  const need = (bytes: number): void => {
    if (body.length < bytes) throw new StatusError('BadRequest', `SPDY: a control frame of type ${String(type)} is cut off`);
  };
  const stream = (): number => body.readUInt32BE(0) & 0x7fffffff;
  switch (type) {
    case types.synStream: need(10); return { type: 'syn-stream', stream: stream(), block: body.subarray(10), fin };
    case types.synReply: need(4); return { type: 'syn-reply', stream: stream(), block: body.subarray(4), fin };
    case types.headers: need(4); return { type: 'headers', stream: stream(), block: body.subarray(4), fin };
    case types.rstStream: need(8); return { type: 'rst-stream', stream: stream(), status: body.readUInt32BE(4) };
    case types.ping: need(4); return { type: 'ping', id: body.readUInt32BE(0) };
    case types.goAway: return { type: 'go-away' };
    // Settings and windows: Kubernetes' clients and runtimes neither send them nor go by them.
    default: return undefined;
  }
}

export const rstStatus = { protocolError: 1, invalidStream: 2, refusedStream: 3, cancel: 5 } as const;

/** The head of a data frame; its bytes follow on the wire. */
export function dataHead(stream: number, bytes: number, fin: boolean): Buffer {
  const head = Buffer.allocUnsafe(headBytes);
  head.writeUInt32BE(stream, 0);
  head.writeUInt32BE(bytes, 4);
  head[4] = fin ? flagFin : 0;
  return head;
}

export function synStream(stream: number, block: Uint8Array): Buffer {
  return Buffer.concat([controlHead(types.synStream, 10 + block.length, stream), Buffer.alloc(6), block]);
}

export function synReply(stream: number, block: Uint8Array): Buffer {
  return Buffer.concat([controlHead(types.synReply, 4 + block.length, stream), block]);
}

export function rstStream(stream: number, status: number): Buffer {
  return Buffer.concat([controlHead(types.rstStream, 8, stream), uint32(status)]);
}

export function ping(id: number): Buffer {
  return controlHead(types.ping, 4, id);
}

export function goAway(lastStream: number): Buffer {
  return Buffer.concat([controlHead(types.goAway, 8, lastStream), uint32(0)]);
}

/** A control frame's head and its first number. */
function controlHead(type: number, bodyBytes: number, first: number): Buffer {
  const head = Buffer.allocUnsafe(headBytes + 4);
  head.writeUInt16BE(control << 8 | version, 0);
  head.writeUInt16BE(type, 2);
  head.writeUInt32BE(bodyBytes, 4);
  head.writeUInt32BE(first, headBytes);
  return head;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}
