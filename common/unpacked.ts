import { pipeline, Readable } from 'node:stream';
import { createGunzip, createZstdDecompress } from 'node:zlib';

/** What an archive is packed with, by its first bytes. */
const packers = [
  { magic: [0x1f, 0x8b], open: createGunzip },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], open: createZstdDecompress },
] as const;

/** An archive as it is inside, whether it comes packed by gzip or zstd, or not at all. */
export async function* unpacked(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const source = archive[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  let ended = false;
  while (head.length < 4 && !ended) {
    const next = await source.next();
    if (next.done === true) ended = true;
    else head = Buffer.concat([head, next.value]);
  }
  const whole = (async function* again(): AsyncGenerator<Uint8Array, void, undefined> {
    if (head.length > 0) yield head;
    for (let next = ended ? undefined : await source.next(); next?.done === false; next = await source.next()) yield next.value;
  })();
  const packer = packers.find(({ magic }) => magic.every((byte, i) => head[i] === byte));
  if (packer) yield* pipeline(Readable.from(whole, { objectMode: false }), packer.open(), () => undefined) as AsyncIterable<Uint8Array>;
  else yield* whole;
}
