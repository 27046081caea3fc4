import { ByteQueue } from './byte-queue.ts';

/** One stream of bytes each way. Reading it slowly slows the other end. */
export interface ByteStream extends AsyncIterable<Uint8Array> {
  /** Resolves when there is room for more; rejects when the other end does not take any more. */
  write(data: Uint8Array): Promise<void>;
  /** No more comes from here; the other direction stays open. */
  end(): Promise<void>;
}

/** Several numbered streams over one connection: what a command's standard streams travel through. */
export interface Channels {
  channel(number: number): ByteStream;
  /** Resolves when the connection is over, however it ended. */
  readonly closed: Promise<void>;
  /** Ends the connection: in good order, or broken off when an error is given. */
  close(error?: Error): void;
}

/** Channels of exec and attach, numbered as Kubernetes' WebSocket protocols do. */
export const commandChannels = { stdin: 0, stdout: 1, stderr: 2, status: 3, resize: 4 } as const;

/** How one transport sends for a channel. */
export interface ChannelSender {
  data(channel: number, data: Uint8Array): Promise<void>;
  end(channel: number): Promise<void>;
}

const queueBytes = 256 << 10;

/** Takes apart what one connection brings for several channels. Channels that were not asked for take nothing. */
export class ChannelMux {
  readonly #sender: ChannelSender;
  readonly #queues = new Map<number, ByteQueue>();
  #over: { readonly error: Error | undefined } | undefined;

  constructor(sender: ChannelSender, numbers: readonly number[]) {
    this.#sender = sender;
    for (const number of numbers) this.#queues.set(number, new ByteQueue(queueBytes));
  }

  channel(number: number): ByteStream {
    const queue = this.#queues.get(number);
    if (!queue) throw new Error(`there is no channel ${String(number)}`);
    return {
      write: (data) => this.#sender.data(number, data),
      end: () => this.#sender.end(number),
      [Symbol.asyncIterator]: () => queue[Symbol.asyncIterator](),
    };
  }

  /** Bytes that came. A promise says: read no more from the connection until it resolves. */
  receive(channel: number, data: Uint8Array): Promise<void> | undefined {
    return this.#queues.get(channel)?.push(data);
  }

  receiveEnd(channel: number): void {
    this.#queues.get(channel)?.end();
  }

  /** Nothing more comes for any channel. */
  finish(error?: Error): void {
    if (this.#over) return;
    this.#over = { error };
    for (const queue of this.#queues.values()) queue.end(error);
  }

  /** Nobody reads any more. */
  discard(): void {
    for (const queue of this.#queues.values()) queue.discard();
  }
}
