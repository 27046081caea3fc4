import { messageOf, StatusError, type StatusCode } from '#common/errors.ts';
import { LineReader, type PushAnswer, type PushCommand } from '#common/image-push.ts';
import type { ImageExchange } from '../request.ts';

/** A node that takes part in a push: one command after the other. */
export class NodeLink {
  readonly #exchange: ImageExchange;
  readonly #reader: LineReader;
  /** Resolves with what the node says at the end, or that it is gone. */
  readonly #over: Promise<Error>;

  constructor(exchange: ImageExchange) {
    this.#exchange = exchange;
    this.#reader = new LineReader(exchange.output);
    this.#over = exchange.finish().then(() => new StatusError('ServiceUnavailable', 'the node ended the push'), (error: unknown) => new StatusError('ServiceUnavailable', messageOf(error), { cause: error }));
  }

  /** What the node answers. Rejects when it is gone; what it refuses is in the answer. */
  async ask(command: PushCommand, body?: AsyncIterable<Uint8Array>): Promise<PushAnswer> {
    const talk = async (): Promise<PushAnswer> => {
      await this.#exchange.write(Buffer.from(`${JSON.stringify(command)}\n`));
      if (body) for await (const chunk of body) await this.#exchange.write(chunk);
      const line = await this.#reader.line();
      if (line === undefined) throw await this.#over;
      return JSON.parse(line) as PushAnswer;
    };
    return Promise.race([talk(), this.#over.then((error) => { throw error; })]);
  }

  /** Like `ask`, but what the node refuses is an error, too. */
  async demand(command: PushCommand): Promise<PushAnswer> {
    const answer = await this.ask(command);
    if (answer.error) throw refusal(answer.error);
    return answer;
  }

  /** Lets the node clean up, and closes. */
  async end(): Promise<void> {
    await this.#exchange.end().catch(() => undefined);
    await this.#over;
    this.#exchange.close();
  }

  close(): void { this.#exchange.close(); }
}

export function refusal({ code, message }: NonNullable<PushAnswer['error']>): StatusError {
  return new StatusError(code as StatusCode, message);
}
