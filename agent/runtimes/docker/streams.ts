import type { Duplex } from 'node:stream';
import { StatusError } from '#common/errors.ts';
import { ChannelMux, commandChannels, type Channels } from '#common/streams/channels.ts';
import { channelsOf, type CommandStreams } from '#common/streams/relay.ts';
import { streamOf } from '#common/streams/socket-channels.ts';
import { terminalSize } from '../terminal-size.ts';
import { frames, plainFrames } from './frames.ts';

export interface CommandEnds {
  /** Sets the size of the terminal. */
  readonly resize: (width: number, height: number) => Promise<void>;
  /** Asked when all output has come: what the status channel says. */
  readonly status: () => Promise<object>;
}

/** The channels of a command whose streams Docker has put on `socket`. */
export function commandOver(socket: Duplex, streams: CommandStreams, { resize, status }: CommandEnds): Channels {
  const numbers = channelsOf(streams);
  const closed = Promise.withResolvers<undefined>();
  const input = streamOf(socket);
  const mux = new ChannelMux({
    data: async (channel, data) => {
      if (channel === commandChannels.stdin) await input.write(data);
      else if (channel === commandChannels.resize) {
        const size = terminalSize(data);
        if (size) await resize(size.width, size.height);
      }
    },
    end: (channel) => (channel === commandChannels.stdin ? input.end() : Promise.resolve()),
  }, numbers);
  const finish = (error?: Error): void => {
    socket.destroy();
    mux.finish(error);
    closed.resolve(undefined);
  };
  const pump = async (): Promise<void> => {
    const source = socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
    for await (const { stream, data } of streams.tty ? plainFrames(source) : frames(source)) await mux.receive(commandChannels[stream], data);
    for (const output of [commandChannels.stdout, commandChannels.stderr]) mux.receiveEnd(output);
    await mux.receive(commandChannels.status, Buffer.from(JSON.stringify(await status())));
  };
  pump().then(() => { finish(); }, (error: unknown) => { finish(new StatusError('ServiceUnavailable', 'the connection to Docker broke', { cause: error })); });
  return {
    channel: (number) => mux.channel(number),
    closed: closed.promise,
    close: (error) => { finish(error); },
  };
}
