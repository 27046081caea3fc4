import type { Duplex } from 'node:stream';
import { StatusError, toStatus } from '../errors.ts';
import { ByteQueue } from '../streams/byte-queue.ts';
import type { ByteStream } from '../streams/channels.ts';
import { FrameReader, dataHead, goAway, ping, rstStatus, rstStream, synReply, synStream, type SpdyFrame } from './frames.ts';
import { HeaderCodec, type SpdyHeaders } from './header-block.ts';

export interface SpdyConfig {
  readonly role: 'client' | 'server';
  /** Streams that may be open at once; more are refused. */
  readonly maxStreams: number;
  /** Of a server: refuses a stream that the other end opened with undefined, or says what to do when the other end has been told that it is taken: before that it drops bytes. */
  readonly accept?: (stream: SpdyStream) => (() => void) | undefined;
}

const queueBytes = 256 << 10;
const maxFrameBytes = 64 << 10;
const lingerMs = 5000;

/** One stream of a connection. Reading ends with the other end's FIN, and also when it resets the stream. */
export class SpdyStream implements ByteStream {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly #connection: SpdyConnection;
  readonly #queue = new ByteQueue(queueBytes);
  /** Called when the other end gives the stream up, or the connection breaks. */
  onReset: () => void = () => undefined;
  #received = false;
  #sent = false;

  constructor(connection: SpdyConnection, id: number, headers: SpdyHeaders) {
    this.#connection = connection;
    this.id = id;
    this.headers = headers;
  }

  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#queue[Symbol.asyncIterator]();
  }

  async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += maxFrameBytes) {
      if (this.#sent) throw new StatusError('ServiceUnavailable', 'the stream is closed');
      const part = data.subarray(at, at + maxFrameBytes);
      await this.#connection.send(dataHead(this.id, part.length, false), part);
    }
  }

  async end(): Promise<void> {
    if (this.#sent) return;
    this.#sent = true;
    await this.#connection.send(dataHead(this.id, 0, true));
    this.#forgetWhenDone();
  }

  /** Ends both directions at once; what was not read is dropped. */
  reset(): void {
    if (!this.#sent || !this.#received) this.#connection.send(rstStream(this.id, rstStatus.cancel)).catch(() => undefined);
    this.broken();
    this.#queue.discard();
  }

  /** For the connection: bytes that came; a promise says to read no more until it resolves. */
  received(data: Uint8Array, fin: boolean): Promise<void> | undefined {
    const room = this.#queue.push(data);
    if (fin) {
      this.#received = true;
      this.#queue.end();
      this.#forgetWhenDone();
    }
    return room;
  }

  /** For the connection: nothing more comes, and nothing is taken. */
  broken(): void {
    this.onReset();
    this.#sent = true;
    this.#received = true;
    this.#queue.end();
    this.#forgetWhenDone();
  }

  /** For the connection: nobody reads any more. */
  discard(): void {
    this.broken();
    this.#queue.discard();
  }

  #forgetWhenDone(): void {
    if (this.#sent && this.#received) this.#connection.forget(this.id);
  }
}

/**
 * SPDY/3.1 over an upgraded connection, as Kubernetes uses it. There are no windows: a stream that is not read makes
 * the connection wait, so that TCP slows the sender.
 */
export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #config: SpdyConfig;
  readonly #codec = new HeaderCodec();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #closed = Promise.withResolvers<undefined>();
  #nextId: number;
  #lastSeen = 0;
  #over = false;
  #drain: Promise<void> | undefined;

  constructor(socket: Duplex, config: SpdyConfig) {
    this.#socket = socket;
    this.#config = config;
    this.#nextId = config.role === 'client' ? 1 : 2;
    socket.on('error', () => undefined);
    // What came before it may still have to be read: the streams end with the reading.
    socket.once('close', () => { this.#closed.resolve(undefined); });
    // Streams opened right after this call must find their order, so reading begins with the next turn.
    setImmediate(() => { this.#read().catch(() => undefined); });
  }

  /** Resolves when the connection is over, however it ended. */
  get closed(): Promise<undefined> { return this.#closed.promise; }

  /** Opens a stream; one at a time. The other end's reply is not waited for: what it refuses, it resets. */
  async open(headers: SpdyHeaders): Promise<SpdyStream> {
    const stream = new SpdyStream(this, this.#nextId, headers);
    this.#nextId += 2;
    this.#streams.set(stream.id, stream);
    await this.send(synStream(stream.id, await this.#codec.encode(headers)));
    return stream;
  }

  /** Says goodbye and ends; what was written before still arrives. */
  close(): void {
    const unread = [...this.#streams.values()];
    this.#end();
    for (const stream of unread) stream.discard();
  }

  #end(): void {
    if (this.#over) return;
    if (this.#socket.writable) {
      this.#socket.write(goAway(this.#lastSeen));
      // Closing with bytes unread would reset the connection, and the other end would lose what it has yet to read.
      this.#socket.end(() => { setTimeout(() => { this.#socket.destroy(); }, lingerMs).unref(); });
    }
    this.#finish();
  }

  /** For streams. Resolves when there is room for more. */
  async send(...parts: Uint8Array[]): Promise<void> {
    if (this.#over || !this.#socket.writable) throw new StatusError('ServiceUnavailable', 'the connection is closed');
    let room = true;
    if (parts.length > 1) this.#socket.cork();
    for (const part of parts) room = this.#socket.write(part);
    if (parts.length > 1) this.#socket.uncork();
    if (!room) await (this.#drain ??= this.#drained());
  }

  /** For streams: it is done. */
  forget(id: number): void {
    this.#streams.delete(id);
  }

  async #read(): Promise<void> {
    const reader = new FrameReader();
    try {
      for await (const chunk of this.#socket as AsyncIterable<Buffer>) {
        if (this.#over) continue;
        for (const frame of reader.push(chunk)) {
          const wait = this.#handle(frame);
          if (wait) await wait;
        }
      }
    } catch (error) {
      this.#socket.destroy(toStatus(error, 'BadRequest'));
    } finally {
      this.#end();
      this.#socket.destroy();
    }
  }

  #handle(frame: SpdyFrame): Promise<void> | undefined {
    switch (frame.type) {
      case 'data': return this.#streams.get(frame.stream)?.received(frame.data, frame.fin);
      case 'syn-stream': return this.#accept(frame);
      case 'syn-reply':
      case 'headers': return this.#skipHeaders(frame);
      case 'rst-stream': this.#streams.get(frame.stream)?.broken(); return undefined;
      // Replies to pings of ours have odd numbers for a client; none are sent.
      case 'ping': return this.send(ping(frame.id));
      case 'go-away': return undefined;
    }
  }

  async #accept({ stream: id, block, fin }: Extract<SpdyFrame, { type: 'syn-stream' }>): Promise<void> {
    const headers = await this.#codec.decode(block);
    const { accept, maxStreams } = this.#config;
    if (id <= this.#lastSeen || (id & 1) !== 1 || !accept) throw new StatusError('BadRequest', `SPDY: a stream with the number ${String(id)}`);
    this.#lastSeen = id;
    const stream = new SpdyStream(this, id, headers);
    this.#streams.set(id, stream);
    const taken = this.#streams.size > maxStreams ? undefined : accept(stream);
    if (!taken) {
      this.#streams.delete(id);
      await this.send(rstStream(id, rstStatus.refusedStream));
      return;
    }
    await this.send(synReply(id, await this.#codec.encode(new Map())));
    taken();
    if (fin) void stream.received(new Uint8Array(), true);
  }

  /** They are of no use here, but the compression context must see them. */
  async #skipHeaders({ stream, block, fin }: { readonly stream: number; readonly block: Uint8Array; readonly fin: boolean }): Promise<void> {
    await this.#codec.decode(block);
    if (fin) void this.#streams.get(stream)?.received(new Uint8Array(), true);
  }

  #finish(): void {
    this.#over = true;
    for (const stream of this.#streams.values()) stream.broken();
    this.#codec.close();
    this.#closed.resolve(undefined);
  }

  #drained(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#socket.off('drain', done).off('close', done);
        this.#drain = undefined;
        resolve();
      };
      this.#socket.on('drain', done).on('close', done);
    });
  }
}
