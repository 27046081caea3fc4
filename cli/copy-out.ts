import { once } from 'node:events';

/** Passes on what is read, no faster than standard output takes it: a slow terminal must not fill our memory. `to` is false when the reader is slow. */
export async function copyOut(from: AsyncIterable<Uint8Array>, to: (chunk: Uint8Array) => boolean): Promise<void> {
  for await (const chunk of from) if (!to(chunk)) await once(process.stdout, 'drain');
}
