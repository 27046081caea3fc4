import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { imageArchive } from '#install/images.ts';
import type { Io } from '../types.ts';
import { archiveAt, imagesIn } from './archive-file.ts';
import { localImage } from './local-image.ts';

let dir: string;
const path = process.env['PATH'];
const signal = new AbortController().signal;
beforeEach(async () => { dir = await mkdtemp(join(tmpdir(), 'cleat-image-')); });
afterEach(async () => {
  process.env['PATH'] = path;
  await rm(dir, { recursive: true, force: true });
});

async function text(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all).toString();
}
/** A machine with these tools and no others. */
async function tools(scripts: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, script] of Object.entries(scripts)) await writeFile(join(dir, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  process.env['PATH'] = dir;
}

it('saves an image by the first tool that has it', async () => {
  await tools({ docker: 'echo "Error: No such image: $3" >&2; exit 1', podman: '[ "$1 $2" = "image inspect" ] || { echo "$1 $2"; }' });
  const { chunks, totalBytes } = await localImage('app:1', signal);
  expect([await text(chunks), totalBytes]).toEqual(['save app:1\n', 0]);
});

it('says why there is none, and what else could be done', async () => {
  await tools({ docker: 'echo "Error: No such image: $3" >&2; exit 1' });
  await expect(localImage('app:1', signal)).rejects.toMatchObject({ code: 'NotFound', message: 'no image app:1 on this machine (docker: Error: No such image: app:1); build it first, or take it from a node with --from NODE' });
  await rm(join(dir, 'docker'));
  await expect(localImage('app:1', signal)).rejects.toThrow('this machine has none of docker, podman, nerdctl');
});

it('fails when the tool does, halfway', async () => {
  await tools({ docker: 'case $1 in save) echo half; echo "disk on fire" >&2; exit 1;; esac' });
  await expect(text((await localImage('app:1', signal)).chunks)).rejects.toThrow('disk on fire');
});

it('reads an archive from a file or standard input, and knows of a file what is in it', async () => {
  const archive = imageArchive({ name: 'docker.io/library/app:1', architecture: 'arm64', files: [{ path: 'x', type: 'file', mode: 0o644, data: Buffer.alloc(300_000, 'x') }], entrypoint: ['/x'] });
  await writeFile(join(dir, 'app.tar'), archive);
  const io = { stdin: Readable.from([Buffer.from('piped')]) } as unknown as Io;
  const file = await archiveAt(join(dir, 'app.tar'), io);
  expect([(await text(file.chunks)).length, file.totalBytes]).toEqual([archive.length, archive.length]);
  expect([await text((await archiveAt('-', io)).chunks), await imagesIn('-')]).toEqual(['piped', []]);
  expect(await imagesIn(join(dir, 'app.tar'))).toMatchObject([{ names: ['docker.io/library/app:1'], architecture: 'arm64' }]);
  await writeFile(join(dir, 'junk'), Buffer.alloc(100_000, 7));
  expect(await imagesIn(join(dir, 'junk'))).toEqual([]);
  await expect(archiveAt(join(dir, 'absent'), io)).rejects.toMatchObject({ code: 'NotFound' });
});
