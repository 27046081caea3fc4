import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
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
  expect(await text(await localImage('app:1', signal))).toBe('save app:1\n');
});

it('says why there is none, and what else could be done', async () => {
  await tools({ docker: 'echo "Error: No such image: $3" >&2; exit 1' });
  await expect(localImage('app:1', signal)).rejects.toMatchObject({ code: 'NotFound', message: 'no image app:1 on this machine (docker: Error: No such image: app:1); build it first, or take it from a node with --from NODE' });
  await rm(join(dir, 'docker'));
  await expect(localImage('app:1', signal)).rejects.toThrow('this machine has none of docker, podman, nerdctl');
});

it('fails when the tool does, halfway', async () => {
  await tools({ docker: 'case $1 in save) echo half; echo "disk on fire" >&2; exit 1;; esac' });
  await expect(text(await localImage('app:1', signal))).rejects.toThrow('disk on fire');
});

it('reads an archive from a file or standard input, and knows of a file what is in it', async () => {
  const archive = imageArchive({ name: 'docker.io/library/app:1', architecture: 'arm64', files: [{ path: 'x', type: 'file', mode: 0o644, data: Buffer.alloc(300_000, 'x') }], entrypoint: ['/x'] });
  await writeFile(join(dir, 'app.tar'), archive);
  const io = (stdin: Buffer): Io => ({ stdin: Readable.from([stdin]), interrupted: signal }) as unknown as Io;
  for (const [file, input] of [['app.tar', ''], ['app.tar.gz', ''], ['-', gzipSync(archive)]] as const) {
    await writeFile(join(dir, 'app.tar.gz'), gzipSync(archive));
    const read = await archiveAt(file === '-' ? file : join(dir, file), io(Buffer.from(input)));
    expect([await text(read.read()), read.bytes]).toEqual([archive.toString(), archive.length]);
    expect([...read.parts?.offsets.keys() ?? []]).toEqual([expect.stringMatching(/^sha256:/)]);
    await read.close();
  }
  const junk = await archiveAt('-', io(Buffer.from('piped')));
  expect([await text(junk.read()), junk.parts, await imagesIn('-')]).toEqual(['piped', undefined, []]);
  await junk.close();
  expect(await imagesIn(join(dir, 'app.tar'))).toMatchObject([{ names: ['docker.io/library/app:1'], architecture: 'arm64' }]);
  await writeFile(join(dir, 'junk'), Buffer.alloc(100_000, 7));
  expect(await imagesIn(join(dir, 'junk'))).toEqual([]);
  await expect(archiveAt(join(dir, 'absent'), io(Buffer.alloc(0)))).rejects.toMatchObject({ code: 'NotFound' });
});
