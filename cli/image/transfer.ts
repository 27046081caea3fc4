import { messageOf, StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import type { Io } from '../types.ts';
import type { ImageNode } from './nodes.ts';
import { bytesOf, openExchange, type ImageExchange } from './request.ts';

/** Where an archive comes from. */
export interface ArchiveSource {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** 0 when nobody knows. */
  readonly totalBytes: number;
}

interface Receiver {
  readonly node: ImageNode;
  readonly exchange: ImageExchange;
  /** What the node says in the end, and whether it failed. */
  readonly verdict: Promise<{ readonly names: readonly string[]; readonly failure?: unknown }>;
  gone: boolean;
}

/**
 * Sends one archive to several nodes at once, read once: the slowest of them sets the pace, and one that fails leaves
 * the others alone. Prints what each says. Resolves with the failures.
 */
export async function transfer(client: RestClient, source: ArchiveSource, nodes: readonly ImageNode[], io: Io): Promise<unknown[]> {
  const failures: unknown[] = [];
  const receivers: Receiver[] = [];
  for (const node of nodes) {
    try {
      receivers.push(receiver(node, await openExchange(client, node.name, 'load', {}, io.interrupted)));
    } catch (error) {
      failures.push(about(node, error));
    }
  }
  const meter = new Meter(io, source.totalBytes);
  try {
    if (receivers.length > 0) await pour(source.chunks, receivers, meter);
    for (const { node, verdict } of receivers) {
      const { names, failure } = await verdict;
      meter.clear();
      if (failure === undefined) for (const name of names) io.out(`${name} loaded on ${node.name}\n`);
      else failures.push(about(node, failure));
    }
  } finally {
    meter.clear();
    for (const { exchange } of receivers) exchange.close();
  }
  io.interrupted.throwIfAborted();
  return failures;
}

function receiver(node: ImageNode, exchange: ImageExchange): Receiver {
  const verdict = Promise.all([bytesOf(exchange.output), exchange.finish()]).then(([text]) => ({ names: JSON.parse(text.toString()) as string[] }), (failure: unknown) => ({ names: [], failure }));
  const made: Receiver = { node, exchange, verdict, gone: false };
  // A node that has answered takes no more, whatever is still to come.
  void verdict.then(() => { made.gone = true; });
  return made;
}

async function pour(chunks: AsyncIterable<Uint8Array>, receivers: readonly Receiver[], meter: Meter): Promise<void> {
  const each = async (work: (exchange: ImageExchange) => Promise<void>): Promise<void> => {
    await Promise.all(receivers.filter(({ gone }) => !gone).map(async (one) => {
      try {
        await Promise.race([work(one.exchange), one.verdict]);
      } catch {
        one.gone = true;
      }
    }));
  };
  for await (const chunk of chunks) {
    if (receivers.every(({ gone }) => gone)) return;
    await each((exchange) => exchange.write(chunk));
    meter.add(chunk.length);
  }
  await each((exchange) => exchange.end());
}

function about(node: ImageNode, error: unknown): StatusError {
  return new StatusError('InternalError', `node ${node.name}: ${messageOf(error)}`, { cause: error });
}

const meterMs = 200;

/** How far it is, on a terminal only. */
class Meter {
  readonly #io: Io;
  readonly #totalBytes: number;
  #bytes = 0;
  #shownMs = 0;

  constructor(io: Io, totalBytes: number) {
    this.#io = io;
    this.#totalBytes = totalBytes;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    const nowMs = performance.now();
    if (!this.#io.terminal || nowMs - this.#shownMs < meterMs) return;
    this.#shownMs = nowMs;
    const share = this.#totalBytes > 0 ? ` of ${mib(this.#totalBytes)} (${String(Math.floor((100 * this.#bytes) / this.#totalBytes))} %)` : '';
    this.#io.err(`\r${mib(this.#bytes)}${share} sent\u001b[K`);
  }

  clear(): void {
    if (this.#shownMs > 0) this.#io.err('\r\u001b[K');
    this.#shownMs = 0;
  }
}

export function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)}MiB`;
}
