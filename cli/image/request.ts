import type { SpdyStream } from '#common/spdy/connection.ts';
import { StatusError } from '#common/errors.ts';
import type { RestClient } from '../client.ts';
import { exitCode } from '../command-streams.ts';
import { openSpdy } from '../stream-client.ts';

/** One request about the images of one node, under way. */
export interface ImageExchange {
  /** Of `load` and `push`: resolves when there is room for more; rejects when the node takes no more, whose answer says why. */
  write(chunk: Uint8Array): Promise<void>;
  end(): Promise<void>;
  /** What the node sends. */
  readonly output: AsyncIterable<Uint8Array>;
  /** Resolves when the node says that all went well; rejects with what it says went wrong. */
  finish(): Promise<void>;
  close(): void;
}

const maxAnswerBytes = 32 << 20;

/** Begins what `cleat image` asks of a node; see serveNodeImages. */
export async function openExchange(client: RestClient, node: string, verb: 'list' | 'load' | 'push' | 'save' | 'prune', query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<ImageExchange> {
  const words = new URLSearchParams(query).toString();
  const connection = await openSpdy(client, `/api/v1/nodes/${encodeURIComponent(node)}/proxy/images/${verb}${words === '' ? '' : `?${words}`}`, 'v4.channel.k8s.io');
  const stop = (): void => { connection.close(); };
  signal.addEventListener('abort', stop, { once: true });
  const open = (type: string): Promise<SpdyStream> => connection.open(new Map([['streamtype', type]]));
  const [status, stdin, stdout] = [await open('error'), verb === 'load' || verb === 'push' ? await open('stdin') : undefined, await open('stdout')];
  return {
    write: (chunk) => stdin?.write(chunk) ?? Promise.resolve(),
    end: () => stdin?.end() ?? Promise.resolve(),
    output: stdout,
    async finish() {
      const text = (await bytesOf(status)).toString();
      signal.throwIfAborted();
      exitCode(text);
    },
    close: () => {
      signal.removeEventListener('abort', stop);
      connection.close();
    },
  };
}

/** The node's answer, where it is one JSON document. */
export async function ask<T>(client: RestClient, node: string, verb: 'list' | 'prune', query: Readonly<Record<string, string>>, signal: AbortSignal): Promise<T> {
  const exchange = await openExchange(client, node, verb, query, signal);
  try {
    const [text] = await Promise.all([bytesOf(exchange.output), exchange.finish()]);
    return JSON.parse(text.toString()) as T;
  } finally {
    exchange.close();
  }
}

export async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > maxAnswerBytes) throw new StatusError('InternalError', 'the node sends more than anybody asked for');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
