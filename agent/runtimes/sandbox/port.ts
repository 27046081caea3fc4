import { isSea } from 'node:sea';
import { fileURLToPath } from 'node:url';
import { messageOf, StatusError } from '#common/errors.ts';
import { pipeCommand } from '#common/exec.ts';
import type { ByteStream, Channels } from '#common/streams/channels.ts';

/** What this program is started with to do it; the single executable has a verb for it (install/build/entry.ts). */
const dialer = isSea() ? ['internal:dial'] : ['--disable-warning=ExperimentalWarning', fileURLToPath(new URL('./dial.ts', import.meta.url))];

/** Channel 0 is a connection to a port on the loopback of the network that process `pid` is in. */
export function dialInNetworkOf(pid: number, port: number): Channels {
  const command = pipeCommand('nsenter', [`--net=/proc/${String(pid)}/ns/net`, '--', process.execPath, ...dialer, String(port)]);
  const stream: ByteStream = {
    write: (data) => new Promise((resolve, reject) => {
      command.stdin.write(data, (error) => {
        if (error) reject(new StatusError('ServiceUnavailable', 'the connection is closed', { cause: error }));
        else resolve();
      });
    }),
    end: () => new Promise((resolve) => {
      if (command.stdin.writable) command.stdin.end(resolve);
      else resolve();
    }),
    async *[Symbol.asyncIterator]() {
      yield* command.stdout.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
      await command.ended.catch((error: unknown) => { throw refusal(port, error); });
    },
  };
  return {
    channel: () => stream,
    closed: command.ended.then(() => undefined, () => undefined),
    close: () => { command.kill(); },
  };
}

/** Of what the command said, only how it went: who was started for it is of no interest outside. */
function refusal(port: number, error: unknown): StatusError {
  const words = messageOf(error);
  const why = words.includes('ECONNREFUSED') ? 'connection refused' : words.slice(words.lastIndexOf(': ') + 2);
  return new StatusError('ServiceUnavailable', `dial tcp 127.0.0.1:${String(port)}: connect: ${why}`, { cause: error });
}
