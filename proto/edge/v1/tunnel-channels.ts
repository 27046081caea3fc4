import { StatusError, statusCodes, type StatusCode } from '#common/errors.ts';
import { ChannelMux, type ByteStream, type Channels } from '#common/streams/channels.ts';
import { maxTunnelDataBytes, type TunnelFrame } from './messages.ts';

/** What the clients' and the servers' calls have in common. */
interface FrameCall {
  readonly writable: boolean;
  write(frame: TunnelFrame, done: (error?: Error | null) => void): boolean;
  iterator(options: { destroyOnReturn: boolean }): AsyncIterable<unknown>;
  on(event: 'error', listener: () => void): unknown;
  once(event: 'close', listener: () => void): unknown;
}

/** The frames of a tunnel that goes both ways, as channels; the same at both of its ends. */
export class TunnelChannels implements Channels {
  readonly #call: FrameCall;
  readonly #mux: ChannelMux;
  readonly #end: (error: Error | undefined) => void;
  readonly #opened = Promise.withResolvers<undefined>();
  readonly #closed = Promise.withResolvers<undefined>();
  /** Writes that the call may never answer once it is cancelled. */
  readonly #unanswered = new Set<(error: Error) => void>();
  #over = false;

  /** `end` ends the call in the way of its side; called once, with what went wrong here. */
  constructor(call: FrameCall, channels: readonly number[], end: (error: Error | undefined) => void) {
    this.#call = call;
    this.#end = end;
    this.#mux = new ChannelMux({ data: (channel, data) => this.#data(channel, data), end: (channel) => this.send({ close: true, channel }) }, channels);
    this.#opened.promise.catch(() => undefined);
    call.on('error', () => undefined);
    call.once('close', () => { this.#finish(broken); });
    void this.#receive();
  }

  /** Resolves when the agent says that what was asked for stands; rejects with its reason when it does not. */
  get opened(): Promise<undefined> { return this.#opened.promise; }
  get closed(): Promise<undefined> { return this.#closed.promise; }

  channel(number: number): ByteStream { return this.#mux.channel(number); }

  close(error?: Error): void {
    const first = !this.#over;
    this.#finish(error ?? broken);
    if (error) this.#mux.discard();
    if (first) this.#end(error);
  }

  /** One frame; resolves when the connection has taken it. */
  send(frame: TunnelFrame): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#over || !this.#call.writable) {
        reject(broken);
        return;
      }
      this.#unanswered.add(reject);
      this.#call.write(frame, (error?: Error | null) => {
        this.#unanswered.delete(reject);
        if (error) reject(error);
        else resolve();
      });
    });
  }

  async #data(channel: number, data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += maxTunnelDataBytes) await this.send({ data: data.subarray(at, at + maxTunnelDataBytes), channel });
  }

  async #receive(): Promise<void> {
    try {
      for await (const frame of this.#call.iterator({ destroyOnReturn: false }) as AsyncIterable<TunnelFrame>) {
        if (frame.error !== undefined) return this.#finish(remoteError(frame.error));
        if (frame.end === true) return this.#finish(undefined);
        if (frame.opened === true) this.#opened.resolve(undefined);
        else if (frame.close === true) this.#mux.receiveEnd(frame.channel ?? 0);
        else if (frame.data !== undefined) await this.#mux.receive(frame.channel ?? 0, frame.data);
      }
      this.#finish(broken);
    } catch (error) {
      this.#finish(new StatusError('ServiceUnavailable', broken.message, { cause: error }));
    }
  }

  #finish(error: Error | undefined): void {
    if (this.#over) return;
    this.#over = true;
    this.#mux.finish(error);
    for (const reject of this.#unanswered) reject(error ?? broken);
    this.#opened.reject(error ?? broken);
    this.#closed.resolve(undefined);
  }
}

const broken = new StatusError('ServiceUnavailable', 'the connection to the node broke off');

/** The agent's own error: code and message. */
export function remoteError(bytes: Uint8Array): StatusError {
  try {
    const value = JSON.parse(Buffer.from(bytes).toString()) as { code?: unknown; message?: unknown } | null;
    if (typeof value?.code === 'string' && Object.hasOwn(statusCodes, value.code)) return new StatusError(value.code as StatusCode, String(value.message).slice(0, 4096));
  } catch { /* said below */ }
  return new StatusError('InternalError', 'the node answered with an error that cannot be read');
}
