/**
 * Bytes on their way to one reader. Whoever puts more in than `limitBytes` is told to wait until some are taken, so
 * that a slow reader slows the sender. Nothing is lost when it ends: what is held is read first.
 */
export class ByteQueue implements AsyncIterable<Uint8Array> {
  readonly #limitBytes: number;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #ended = false;
  #error: Error | undefined;
  #wakeReader: () => void = () => undefined;
  #waiting: (() => void)[] = [];

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Undefined when more may follow at once; otherwise resolves when there is room. After the end, bytes are dropped. */
  push(chunk: Uint8Array): Promise<void> | undefined {
    if (this.#ended || chunk.length === 0) return undefined;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    this.#wakeReader();
    return this.#bytes > this.#limitBytes ? new Promise((resolve) => { this.#waiting.push(resolve); }) : undefined;
  }

  /** No more will come. With an error, the reader is told after the bytes that came before. */
  end(error?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wakeReader();
  }

  /** Drops what is held and all that comes: nobody reads any more. */
  discard(): void {
    this.#ended = true;
    this.#chunks = [];
    this.#bytes = 0;
    this.#release();
  }

  /** One reader; when it stops early, the rest is discarded. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        const chunk = this.#chunks.shift();
        if (chunk) {
          this.#bytes -= chunk.length;
          if (this.#bytes <= this.#limitBytes) this.#release();
          yield chunk;
        } else if (this.#ended) {
          if (this.#error) throw this.#error;
          return;
        } else {
          await new Promise<void>((resolve) => { this.#wakeReader = resolve; });
        }
      }
    } finally {
      this.discard();
    }
  }

  #release(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resume of waiting) resume();
  }
}
