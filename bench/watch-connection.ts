import { once } from 'node:events';
import * as tls from 'node:tls';

const frameType = { data: 0, headers: 1, settings: 4, ping: 6, goAway: 7, windowUpdate: 8 } as const;
const headBytes = 9;
const mostWindow = 0x7fffffff;
const flags = { ack: 1, endOfHeaders: 4, endOfStream: 1 } as const;

/**
 * The receiving end of many watches over one HTTP/2 connection, as cheap as it can be made: on a machine with few cores
 * the client would else be what is measured. It knows as much of HTTP/2 (RFC 9113) as that takes, and never holds the server back.
 */
export class WatchConnection {
  readonly #socket: tls.TLSSocket;
  readonly #take: ((payload: Buffer) => void)[] = [];
  readonly #parts: Buffer[] = [];
  #held = 0;
  #wanted = headBytes;

  private constructor(socket: tls.TLSSocket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => { this.#read(chunk); });
  }

  static async open(options: tls.ConnectionOptions): Promise<WatchConnection> {
    const socket = tls.connect({ ...options, ALPNProtocols: ['h2'] });
    await once(socket, 'secureConnect');
    const settings = Buffer.alloc(6);
    settings.writeUInt16BE(4, 0);
    settings.writeUInt32BE(mostWindow, 2);
    const window = Buffer.alloc(4);
    window.writeUInt32BE(mostWindow - 65_535);
    socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(frameType.settings, 0, 0, settings), frame(frameType.windowUpdate, 0, 0, window)]));
    return new WatchConnection(socket);
  }

  /** Asks for `path`; `take` is given the bytes of the body as they come, views that are valid during the call. */
  get(path: string, take: (payload: Buffer) => void): void {
    this.#take.push(take);
    const fields = Buffer.concat([[':method', 'GET'], [':scheme', 'https'], [':authority', 'localhost'], [':path', path]].map(([name = '', value = '']) => literal(name, value)));
    this.#socket.write(frame(frameType.headers, flags.endOfHeaders | flags.endOfStream, 2 * this.#take.length - 1, fields));
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    let rest = chunk;
    if (this.#held > 0) {
      this.#parts.push(chunk);
      this.#held += chunk.length;
      if (this.#held < this.#wanted) return;
      rest = Buffer.concat(this.#parts);
      this.#parts.length = 0;
      this.#held = 0;
    }
    let at = 0;
    while (rest.length - at >= headBytes) {
      const size = headBytes + rest.readUIntBE(at, 3);
      if (rest.length - at < size) break;
      this.#frame(rest[at + 3] ?? 0, rest[at + 4] ?? 0, rest.readUInt32BE(at + 5), rest.subarray(at + headBytes, at + size));
      at += size;
    }
    if (at === rest.length) return;
    this.#parts.push(rest.subarray(at));
    this.#held = rest.length - at;
    this.#wanted = this.#held < headBytes ? headBytes : headBytes + rest.readUIntBE(at, 3);
  }

  #frame(type: number, flag: number, stream: number, payload: Buffer): void {
    if (type === frameType.data) this.#take[(stream - 1) / 2]?.(payload);
    else if (type === frameType.settings && flag !== flags.ack) this.#socket.write(frame(frameType.settings, flags.ack, 0, Buffer.alloc(0)));
    else if (type === frameType.ping && flag !== flags.ack) this.#socket.write(frame(frameType.ping, flags.ack, 0, payload));
    else if (type === frameType.goAway) throw new Error('the server ended the connection');
  }
}

function frame(type: number, flag: number, stream: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(headBytes);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flag;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A field that is in no table: RFC 7541, 6.2.2. */
function literal(name: string, value: string): Buffer {
  return Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([value.length]), Buffer.from(value)]);
}
