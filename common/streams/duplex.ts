import { Duplex } from 'node:stream';
import { toStatus } from '../errors.ts';
import type { Channels } from './channels.ts';

/** Channel 0 as a connection, for what only takes those. Closing it closes the channels. */
export function duplexOfChannels(channels: Channels): Duplex {
  const stream = channels.channel(0);
  const incoming = stream[Symbol.asyncIterator]();
  let reading = false;
  return new Duplex({
    allowHalfOpen: true,
    read() {
      if (reading) return;
      reading = true;
      incoming.next().then(({ done, value }) => {
        reading = false;
        this.push(done === true ? null : value);
      }, (error: unknown) => { this.destroy(toStatus(error)); });
    },
    write(chunk: Uint8Array, _encoding, taken) {
      stream.write(chunk).then(() => { taken(); }, (error: unknown) => { taken(toStatus(error)); });
    },
    final(ended) {
      stream.end().then(() => { ended(); }, () => { ended(); });
    },
    destroy(error, closed) {
      channels.close(error ?? undefined);
      closed(error);
    },
  });
}
