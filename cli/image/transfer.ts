import type { RestClient } from '../client.ts';
import type { Io } from '../types.ts';
import type { NodeOutcome } from './push/push.ts';
import { bytesOf, openExchange, type ImageExchange } from './request.ts';

interface Receiver {
  readonly outcome: NodeOutcome;
  readonly exchange: ImageExchange;
  /** What the node says in the end, and whether it failed. */
  readonly verdict: Promise<{ readonly names: readonly string[]; readonly failure?: unknown }>;
  gone: boolean;
}

/**
 * Sends one archive to several nodes at once, read once: the slowest of them sets the pace, and one that fails leaves
 * the others alone. Tells each outcome what became of it.
 */
export async function transfer(client: RestClient, chunks: AsyncIterable<Uint8Array>, outcomes: readonly NodeOutcome[], sent: (bytes: number) => void, io: Io): Promise<void> {
  const receivers: Receiver[] = [];
  for (const outcome of outcomes) {
    try {
      receivers.push(receiver(outcome, await openExchange(client, outcome.node, 'load', {}, io.interrupted)));
    } catch (error) {
      outcome.failure = error;
    }
  }
  try {
    if (receivers.length > 0) await pour(chunks, receivers, sent);
    for (const { outcome, verdict } of receivers) Object.assign(outcome, await verdict);
  } finally {
    for (const { exchange } of receivers) exchange.close();
  }
}

function receiver(outcome: NodeOutcome, exchange: ImageExchange): Receiver {
  const verdict = Promise.all([bytesOf(exchange.output), exchange.finish()]).then(([text]) => ({ names: JSON.parse(text.toString()) as string[] }), (failure: unknown) => ({ names: [], failure }));
  const made: Receiver = { outcome, exchange, verdict, gone: false };
  // A node that has answered takes no more, whatever is still to come.
  void verdict.then(() => { made.gone = true; });
  return made;
}

async function pour(chunks: AsyncIterable<Uint8Array>, receivers: readonly Receiver[], sent: (bytes: number) => void): Promise<void> {
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
    for (const { outcome } of receivers.filter(({ gone }) => !gone)) {
      outcome.fromHereBytes += chunk.length;
      sent(chunk.length);
    }
  }
  await each((exchange) => exchange.end());
}
