import type { Duplex } from 'node:stream';
import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { SpdyConnection, type SpdyStream } from '#common/spdy/connection.ts';
import { commandChannels, type ByteStream, type Channels } from '#common/streams/channels.ts';
import { channelsOf, type CommandStreams } from '#common/streams/relay.ts';

/** How long a client may take to open its streams. */
export const createStreamsMs = 30_000;

const numbers = new Map<string, number>(Object.entries(commandChannels).map(([name, number]) => [name === 'status' ? 'error' : name, number]));
const resizable = /^v[345]\./;

/** Tells a client that its upgrade is taken. */
export function switchProtocols(socket: Duplex, upgrade: string, headers: Readonly<Record<string, string>>): void {
  const lines = Object.entries({ Connection: 'Upgrade', Upgrade: upgrade, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('')}\r\n`);
}

/** The streams of a command that a client opens over SPDY, once all of them are there. Rejects with `Timeout` when they do not come. */
export async function acceptCommand(socket: Duplex, protocol: string, streams: CommandStreams, clock: Clock): Promise<Channels> {
  // Who speaks one of the first versions cannot say how large the terminal is.
  const wanted = channelsOf({ ...streams, tty: streams.tty && resizable.test(protocol) });
  const opened = new Map<number, SpdyStream>();
  const complete = Promise.withResolvers<undefined>();
  const connection = new SpdyConnection(socket, {
    role: 'server', maxStreams: wanted.length,
    accept: (stream) => {
      const number = numbers.get(stream.headers.get('streamtype') ?? '');
      if (number === undefined || !wanted.includes(number) || opened.has(number)) return undefined;
      opened.set(number, stream);
      return () => { if (opened.size === wanted.length) complete.resolve(undefined); };
    },
  });
  const cancel = clock.after(createStreamsMs, () => { complete.reject(new StatusError('Timeout', 'timed out waiting for client to create streams')); });
  void connection.closed.then(() => { complete.reject(new StatusError('ServiceUnavailable', 'the client has gone')); });
  try {
    await complete.promise;
  } catch (error) {
    connection.close();
    throw error;
  } finally {
    cancel();
  }
  return { channel: (number) => opened.get(number) ?? silent, closed: connection.closed, close: () => { connection.close(); } };
}

/** Of a channel that the client's version does not have. */
const silent: ByteStream = {
  write: () => Promise.resolve(),
  end: () => Promise.resolve(),
  async *[Symbol.asyncIterator]() { /* nothing comes */ },
};
