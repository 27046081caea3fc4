import type { ClientRequest, IncomingMessage } from 'node:http';
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { messageOf, StatusError } from '#common/errors.ts';
import { http } from '#common/node-http.ts';
import { SpdyConnection, type SpdyStream } from '#common/spdy/connection.ts';
import { commandChannels, type ByteStream, type Channels } from '#common/streams/channels.ts';
import { channelsOf, type CommandStreams } from '#common/streams/relay.ts';

/** Another way to the runtime's streaming server than TCP from here. */
export type StreamConnect = (host: string, port: number) => Duplex;

const connectMs = 10_000;
/** What the runtime says of a connection that cannot be made. */
const maxErrorBytes = 4096;
const streamTypes = new Map<number, string>(Object.entries(commandChannels).map(([name, number]) => [number, name === 'status' ? 'error' : name]));

/** A client of the server behind the URLs that CRI's Exec, Attach and PortForward answer; it speaks SPDY/3.1. */
export class StreamingServer {
  readonly #connect: StreamConnect;

  constructor(connect: StreamConnect = (host, port) => connectTcp({ host, port, noDelay: true })) {
    this.#connect = connect;
  }

  async command(url: string, streams: CommandStreams, signal: AbortSignal): Promise<Channels> {
    const connection = await this.#open(url, 'v4.channel.k8s.io', signal);
    const opened = new Map<number, SpdyStream>();
    for (const number of channelsOf(streams)) opened.set(number, await connection.open(new Map([['streamtype', streamTypes.get(number) ?? '']])));
    return channels(connection, opened);
  }

  async port(url: string, port: number, signal: AbortSignal): Promise<Channels> {
    const connection = await this.#open(url, 'portforward.k8s.io', signal);
    const headers = (type: string): Map<string, string> => new Map([['streamtype', type], ['port', String(port)], ['requestid', '0']]);
    const error = await connection.open(headers('error'));
    await error.end();
    const data = await connection.open(headers('data'));
    return channels(connection, new Map([[0, failing(data, error)]]));
  }

  async #open(url: string, protocol: string, signal: AbortSignal): Promise<SpdyConnection> {
    const socket = await this.#upgrade(new URL(url), protocol, signal);
    return new SpdyConnection(socket, { role: 'client', maxStreams: 8 });
  }

  #upgrade(url: URL, protocol: string, signal: AbortSignal): Promise<Duplex> {
    return new Promise((resolve, reject) => {
      const fail = (why: string, cause?: unknown): void => {
        reject(signal.aborted ? signal.reason as Error : new StatusError('ServiceUnavailable', `the container runtime's streaming server at ${url.host} cannot be used: ${why}`, { cause }));
      };
      const request = http.request({
        host: url.hostname, port: url.port, path: url.pathname + url.search, method: 'POST', signal,
        headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': protocol, 'content-length': '0' },
        createConnection: () => this.#connect(url.hostname, Number(url.port)),
      });
      const late = setTimeout(() => { request.destroy(new Error('no answer')); }, connectMs);
      request.once('close', () => { clearTimeout(late); });
      request.once('upgrade', (_answer, socket, head) => {
        clearTimeout(late);
        if (head.length > 0) socket.unshift(head);
        resolve(socket);
      });
      refusals(request, fail);
      request.end();
    });
  }
}

function refusals(request: ClientRequest, fail: (why: string, cause?: unknown) => void): void {
  request.once('response', (answer) => {
    textOf(answer).then((text) => { fail(`it answered ${String(answer.statusCode)} ${text}`); }, (error: unknown) => { fail(messageOf(error), error); });
  });
  request.once('error', (error) => { fail(messageOf(error), error); });
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    text += chunk.toString();
    if (text.length > maxErrorBytes) break;
  }
  return text.slice(0, maxErrorBytes).trim();
}

function channels(connection: SpdyConnection, streams: ReadonlyMap<number, ByteStream>): Channels {
  return {
    channel: (number) => {
      const stream = streams.get(number);
      if (!stream) throw new Error(`there is no channel ${String(number)}`);
      return stream;
    },
    closed: connection.closed,
    close: () => { connection.close(); },
  };
}

/** The data of a forwarded port; what the error stream says comes as an error when the data has ended. */
function failing(data: SpdyStream, error: SpdyStream): ByteStream {
  return {
    write: (bytes) => data.write(bytes),
    end: () => data.end(),
    async *[Symbol.asyncIterator]() {
      yield* data;
      let text = '';
      for await (const chunk of error) if (text.length < maxErrorBytes) text += Buffer.from(chunk).toString();
      // What comes before the reason names the sandbox, which nobody outside knows.
      if (text !== '') throw new StatusError('ServiceUnavailable', text.slice(0, maxErrorBytes).replace(/^error forwarding port \d+ to pod [^:]*: /, ''));
    },
  };
}
