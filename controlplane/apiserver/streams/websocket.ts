import type { Duplex } from 'node:stream';
import type { IncomingMessage } from 'node:http';
import type { RawData, WebSocket } from 'ws';
import { StatusError } from '#common/errors.ts';
import { ChannelMux, type ByteStream, type Channels } from '#common/streams/channels.ts';
import type { HttpRequest } from '../http/listener.ts';

const maxMessageBytes = 8 << 20;
/** While a client's bytes are not taken its pings are not read; it is told that we live all the same. */
const pongMs = 5000;
const closeChannel = 255;

/** Answers a WebSocket handshake. The library is loaded when somebody first asks. */
export async function acceptWebSocket(request: HttpRequest, socket: Duplex, protocol: string): Promise<WebSocket> {
  const { WebSocketServer } = await import('ws');
  const server = new WebSocketServer({ noServer: true, clientTracking: false, perMessageDeflate: false, maxPayload: maxMessageBytes });
  // The library refuses names with a slash, which one of Kubernetes' protocols has; the choice is made already.
  delete request.headers['sec-websocket-protocol'];
  if (protocol !== '') server.on('headers', (lines) => { lines.push(`Sec-WebSocket-Protocol: ${protocol}`); });
  return new Promise((resolve, reject) => {
    const gone = (): void => { reject(new StatusError('ServiceUnavailable', 'the client has gone')); };
    socket.once('close', gone);
    server.handleUpgrade(request as IncomingMessage, socket, Buffer.alloc(0), (webSocket) => {
      socket.off('close', gone);
      webSocket.on('error', () => undefined); // its close is what counts
      resolve(webSocket);
    });
  });
}

/** A WebSocket as one stream of bytes: binary messages, wherever they are cut. */
export async function duplexOf(webSocket: WebSocket): Promise<Duplex> {
  const { createWebSocketStream } = await import('ws');
  return createWebSocketStream(webSocket, { allowHalfOpen: false });
}

/** Kubernetes' channel protocols: each message begins with its channel, as a byte or, in base64, as a digit. Version 5 can close stdin. */
export class WebSocketChannels implements Channels {
  readonly #webSocket: WebSocket;
  readonly #base64: boolean;
  readonly #mux: ChannelMux;
  readonly #closed = Promise.withResolvers<undefined>();
  #paused = 0;

  constructor(webSocket: WebSocket, protocol: string, channels: readonly number[]) {
    this.#webSocket = webSocket;
    this.#base64 = protocol.includes('base64');
    this.#mux = new ChannelMux({ data: (channel, data) => this.#send(channel, data), end: () => Promise.resolve() }, channels);
    const canClose = protocol.startsWith('v5.');
    webSocket.on('message', (message: RawData) => { this.#receive(message as Buffer, canClose); });
    webSocket.once('close', () => {
      this.#mux.finish();
      this.#closed.resolve(undefined);
    });
  }

  get closed(): Promise<undefined> { return this.#closed.promise; }

  channel(number: number): ByteStream { return this.#mux.channel(number); }

  close(error?: Error): void {
    if (error) this.#webSocket.terminate();
    else this.#webSocket.close(1000);
    this.#mux.discard();
  }

  #send(channel: number, data: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const message = this.#base64 ? String(channel) + Buffer.from(data.buffer, data.byteOffset, data.length).toString('base64') : Buffer.concat([Buffer.of(channel), data]);
      this.#webSocket.send(message, (error) => {
        if (error) reject(error);
        else resolve();
      });
    });
  }

  #receive(message: Buffer, canClose: boolean): void {
    const [first] = message;
    if (first === undefined) return;
    const channel = this.#base64 ? first - 0x30 : first;
    const data = this.#base64 ? Buffer.from(message.toString('latin1', 1), 'base64') : message.subarray(1);
    if (canClose && channel === closeChannel) this.#mux.receiveEnd(data[0] ?? -1);
    else void this.#mux.receive(channel, data)?.then(this.#pause());
  }

  /** Reads no more until all who asked for it have resumed. */
  #pause(): () => void {
    this.#paused++;
    this.#webSocket.pause();
    const alive = setInterval(() => { if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#webSocket.pong(); }, pongMs).unref();
    return () => {
      clearInterval(alive);
      if (--this.#paused === 0) this.#webSocket.resume();
    };
  }
}
