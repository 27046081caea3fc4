import type { EncodedParts } from './archive-parts.ts';
import { StatusError } from './errors.ts';

/**
 * What `cleat image push` says to each node, as lines of JSON, and what the node answers, one line for each. All that
 * the node does for a push ends with the connection.
 */
export type PushCommand =
  /** An image that is to come; answered with what of it need not. The nodes named may fetch its blobs from this one. */
  | { readonly do: 'offer'; readonly archive: EncodedParts; readonly nodes: readonly string[] }
  /** An image that is here, for the nodes named to fetch; answered with its parts. */
  | { readonly do: 'share'; readonly image: string; readonly nodes: readonly string[] }
  /** As many bytes follow; less `from`, where the node has said that as many are there. */
  | { readonly do: 'put'; readonly digest: string; readonly size: number; readonly from?: number }
  /** From another node. */
  | { readonly do: 'fetch'; readonly digest: string; readonly size: number; readonly node: string; readonly hosts: readonly string[]; readonly port: number }
  /** All is here that was offered. */
  | { readonly do: 'import' };

export interface PushAnswer {
  readonly error?: { readonly code: string; readonly message: string };
  /** Blobs that need not come. */
  readonly held?: readonly string[];
  /** How much of others came before, by digest: a blob may go on from there. Absent of older agents. */
  readonly begun?: Readonly<Record<string, number>>;
  /** Of these, and of `held`, what others can fetch here. */
  readonly shared?: readonly string[];
  /** Where others can fetch. Absent when they cannot. */
  readonly port?: number;
  readonly archive?: EncodedParts;
  /** Names of the images that were made. */
  readonly names?: readonly string[];
}

const maxLineBytes = 32 << 20;

/** Reads lines, and bytes that follow one, from one stream. */
export class LineReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #held: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Undefined at the end. */
  async line(): Promise<string | undefined> {
    const chunks: Buffer[] = [];
    for (let bytes = 0; ;) {
      const end = this.#held.indexOf(10);
      if (end >= 0) {
        const line = Buffer.concat([...chunks, this.#held.subarray(0, end)]).toString();
        this.#held = this.#held.subarray(end + 1);
        return line;
      }
      chunks.push(this.#held);
      bytes += this.#held.length;
      if (bytes > maxLineBytes) throw new StatusError('BadRequest', 'a line is too long');
      if (!await this.#more()) return undefined;
    }
  }

  /** Exactly so many bytes; those that are not read here must be read by `drop`. */
  async *bytes(left: { size: number }): AsyncGenerator<Buffer, void, undefined> {
    while (left.size > 0) {
      if (this.#held.length === 0 && !await this.#more()) throw new StatusError('ServiceUnavailable', 'the connection broke off');
      const own = this.#held.subarray(0, left.size);
      this.#held = this.#held.subarray(own.length);
      left.size -= own.length;
      yield own;
    }
  }

  async drop(left: { size: number }): Promise<void> {
    for await (const _ of this.bytes(left)) { /* nobody wants it */ }
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    this.#held = done === true ? Buffer.alloc(0) : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    return done !== true;
  }
}
