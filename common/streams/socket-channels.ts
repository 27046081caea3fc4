import type { Duplex } from 'node:stream';
import { StatusError } from '../errors.ts';
import type { ByteStream, Channels } from './channels.ts';

/** A connection as a stream of bytes. It must allow to be half open for `end` to leave the other direction alone. */
export function streamOf(socket: Duplex): ByteStream {
  return {
    write: (data) => new Promise((resolve, reject) => {
      const closed = (): void => { reject(new StatusError('ServiceUnavailable', 'the connection is closed')); };
      if (!socket.writable) {
        closed();
        return;
      }
      socket.once('close', closed);
      socket.write(data, (error) => {
        socket.off('close', closed);
        if (error) reject(error);
        else resolve();
      });
    }),
    end: () => new Promise((resolve) => {
      if (socket.writable) socket.end(resolve);
      else resolve();
    }),
    [Symbol.asyncIterator]: () => (socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>)[Symbol.asyncIterator](),
  };
}

/** A connection as channel 0. */
export function channelsOfSocket(socket: Duplex): Channels {
  const stream = streamOf(socket);
  return {
    channel: () => stream,
    closed: new Promise((resolve) => { socket.once('close', () => { resolve(); }); }),
    close: () => { socket.destroy(); },
  };
}
