import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf, StatusError, type StatusCode } from '#common/errors.ts';
import { LineReader, type PushAnswer, type PushCommand } from '#common/image-push.ts';
import type { ImageExchange } from '../request.ts';

/** A node takes in nothing for so long: it, or the way there, is gone without a word. */
const silentMs = 120_000;

/** A node that takes part in a push: one command after the other. */
export class NodeLink {
  readonly #exchange: ImageExchange;
  readonly #clock: Pick<Clock, 'after'>;
  readonly #reader: LineReader;
  /** Resolves with what the node says at the end, or that it is gone. */
  readonly #over: Promise<Error>;
  #failure: Error | undefined;

  constructor(exchange: ImageExchange, clock: Pick<Clock, 'after'>) {
    this.#exchange = exchange;
    this.#clock = clock;
    this.#reader = new LineReader(exchange.output);
    this.#over = exchange.finish().then(() => new StatusError('ServiceUnavailable', 'the node ended the push'), (error: unknown) => new StatusError('ServiceUnavailable', messageOf(error), { cause: error }));
    void this.#over.then((failure) => { this.#failure ??= failure; });
  }

  /** The node is gone, or what it says makes no sense: whatever it was asked, another link may bring an answer. */
  get isBroken(): boolean { return this.#failure !== undefined; }

  /** Why it is broken. */
  get failure(): Error | undefined { return this.#failure; }

  /** What the node answers. Rejects when it is gone; what it refuses is in the answer. */
  async ask(command: PushCommand, body?: AsyncIterable<Uint8Array>): Promise<PushAnswer> {
    try {
      return await Promise.race([this.#talk(command, body), this.#over.then((error) => { throw error; })]);
    } catch (error) {
      const failure = isStatus(error) ? error : new StatusError('ServiceUnavailable', messageOf(error), { cause: error });
      this.#failure ??= failure;
      throw failure;
    }
  }

  async #talk(command: PushCommand, body: AsyncIterable<Uint8Array> | undefined): Promise<PushAnswer> {
    await this.#write(Buffer.from(`${JSON.stringify(command)}\n`));
    if (body) for await (const chunk of body) await this.#write(chunk);
    const line = await this.#reader.line();
    if (line === undefined) throw await this.#over;
    return JSON.parse(line) as PushAnswer;
  }

  async #write(chunk: Uint8Array): Promise<void> {
    const { promise, reject } = Promise.withResolvers<never>();
    const heard = this.#clock.after(silentMs, () => { reject(new StatusError('Timeout', `the node has taken nothing for ${String(silentMs / 1000)} s`)); });
    try {
      await Promise.race([this.#exchange.write(chunk), promise]);
    } finally {
      heard();
    }
  }

  /** Like `ask`, but what the node refuses is an error, too. */
  async demand(command: PushCommand): Promise<PushAnswer> {
    const answer = await this.ask(command);
    if (answer.error) throw refusal(answer.error);
    return answer;
  }

  /** Lets the node clean up, and closes. */
  async end(): Promise<void> {
    if (!this.isBroken) {
      await this.#exchange.end().catch(() => undefined);
      await this.#over;
    }
    this.#exchange.close();
  }

  close(): void { this.#exchange.close(); }
}

export function refusal({ code, message }: NonNullable<PushAnswer['error']>): StatusError {
  return new StatusError(code as StatusCode, message);
}
