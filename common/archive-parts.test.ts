import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { imageArchive } from '#install/images.ts';
import { tar, type TarEntry } from '#install/images-tar.ts';
import { blobsOf, decodeParts, encodeParts, partsOf, rangeOf, wholeArchive, type PartsOfFile } from './archive-parts.ts';
import { ArchiveReader } from './image-archive.ts';
import { spool } from './spool.ts';

let dir: string;
const signal = new AbortController().signal;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-parts-')); });
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

const digestOf = (data: Uint8Array): string => `sha256:${createHash('sha256').update(data).digest('hex')}`;
const file = (path: string, data: Uint8Array | string): TarEntry => ({ path, type: 'file', mode: 0o644, data: Buffer.from(data) });
const layer = tar([file('x', randomBytes(70_001))]);
const modern = imageArchive({ name: 'docker.io/library/app:1', architecture: 'arm64', files: [file('x', randomBytes(70_001))], entrypoint: ['/x'] });
/** As Docker 20.10 saves: a folder for each layer, the description at the end. */
const legacy = tar([
  { path: 'aa', type: 'dir', mode: 0o755 }, file('aa/VERSION', '1.0'), file('aa/layer.tar', layer), { path: 'bb/layer.tar', type: 'symlink', target: '../aa/layer.tar' },
  file(`${'c'.repeat(64)}.json`, JSON.stringify({ architecture: 'amd64', rootfs: { diff_ids: [digestOf(layer), digestOf(layer)] } })),
  file('manifest.json', JSON.stringify([{ Config: `${'c'.repeat(64)}.json`, RepoTags: ['app:1'], Layers: ['aa/layer.tar', 'bb/layer.tar'] }])),
]);

async function apart<T>(bytes: Buffer, work: (parts: PartsOfFile, read: (digest: string) => AsyncIterable<Uint8Array>) => Promise<T>): Promise<T> {
  await writeFile(join(dir, 'a.tar'), bytes);
  const handle = await open(join(dir, 'a.tar'));
  try {
    const parts = await partsOf(handle, bytes.length, signal);
    return await work(parts, (digest) => rangeOf(handle, parts.offsets.get(digest) ?? 0, blobsOf(parts).get(digest) ?? 0));
  } finally {
    await handle.close();
  }
}
async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('an archive taken apart', () => {
  it.each<[string, Buffer]>([['an OCI layout', modern], ['of Docker 20.10', legacy]])('is the same when it is put together again: %s', async (_, bytes) => {
    await apart(bytes, async (parts, read) => {
      const sent = JSON.parse(JSON.stringify(encodeParts(parts))) as ReturnType<typeof encodeParts>;
      expect(JSON.stringify(sent).length).toBeLessThan(3000);
      expect((await bytesOf(wholeArchive(decodeParts(sent), ({ digest }) => read(digest)))).equals(bytes)).toBe(true);
      for (const digest of blobsOf(parts).keys()) expect(digestOf(await bytesOf(read(digest)))).toBe(digest);
    });
  });

  it('tells of layers, where some are links to others', async () => {
    const one = { digest: digestOf(layer), diffId: digestOf(layer) };
    await apart(legacy, ({ layers }) => { expect(layers).toEqual([[one, one]]); return Promise.resolve(); });
    await apart(modern, ({ layers, offsets }) => { expect(layers[0]?.map(({ digest }) => digest)).toEqual([...offsets.keys()]); return Promise.resolve(); });
  });

  it('may leave a layer empty, and is an archive all the same', async () => {
    const bytes = await apart(legacy, (parts) => bytesOf(wholeArchive(parts, () => undefined)));
    expect(bytes.length).toBe(legacy.length - Math.ceil(layer.length / 512) * 512);
    const reader = new ArchiveReader();
    reader.push(bytes);
    expect(reader.images()).toEqual([{ names: ['app:1'], architecture: 'amd64', id: `sha256:${'c'.repeat(64)}` }]);
  });

  it.each<[string, Buffer]>([['noise', Buffer.alloc(5000, 7)], ['cut off', modern.subarray(0, 40_000)]])('is refused when it is %s', async (_, bytes) => {
    await expect(apart(bytes, () => Promise.resolve())).rejects.toMatchObject({ code: 'Invalid' });
  });

  it('is refused when what comes was not made by it', async () => {
    await apart(modern, (parts) => {
      const good = encodeParts(parts);
      const [first = 0, blob] = good.pieces;
      for (const bad of [{ pieces: [first, 5] }, { pieces: [blob] }, { pieces: [first, { digest: '../x', size: 1 }] }, { pieces: [1] }, { literals: 'x' }, { layers: [[{}]] }, { pieces: 3 }]) expect(() => decodeParts({ ...good, ...bad } as typeof good)).toThrow('not what the contract says');
      return Promise.resolve();
    });
  });
});

it('keeps what comes in a file that has no name', async () => {
  const { file: spooled, bytes } = await spool((async function* two() { yield Buffer.from('ab'); yield Buffer.from('c'); })(), dir);
  expect([bytes, (await bytesOf(rangeOf(spooled, 1, 2))).toString(), await readdir(dir)]).toEqual([3, 'bc', []]);
  await spooled.close();
  await expect(spool((async function* broken() { yield Buffer.from('ab'); throw new Error('half'); })(), dir)).rejects.toThrow('half');
  await expect(spool((async function* none() { yield Buffer.from('ab'); })(), join(dir, 'absent'))).rejects.toThrow('cannot be kept in');
  expect(await readdir(dir)).toEqual([]);
});
