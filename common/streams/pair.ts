import { StatusError } from '../errors.ts';
import { ChannelMux, type Channels } from './channels.ts';

/** Two ends connected in memory: what a fake runtime, and tests, hand out. */
export function channelPair(numbers: readonly number[]): [Channels, Channels] {
  const closed = Promise.withResolvers<undefined>();
  const muxes: ChannelMux[] = [];
  let over = false;
  const make = (own: 0 | 1): Channels => {
    const other = (): ChannelMux | undefined => muxes[1 - own];
    const mux = new ChannelMux({
      data: async (channel, data) => {
        if (over) throw new StatusError('ServiceUnavailable', 'the other end is closed');
        await other()?.receive(channel, data);
      },
      end: (channel) => { other()?.receiveEnd(channel); return Promise.resolve(); },
    }, numbers);
    muxes[own] = mux;
    return {
      channel: (number) => mux.channel(number),
      closed: closed.promise,
      close: (error) => {
        over = true;
        for (const side of muxes) side.finish(error);
        closed.resolve(undefined);
      },
    };
  };
  return [make(0), make(1)];
}
