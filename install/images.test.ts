import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ensureHelloImage, helloSpec, hostArchitecture, imageArchive, pauseSpec } from './images.ts';
import { pauseProgram } from './images-pause.ts';

describe('pause program', () => {
  it('sleeps until SIGTERM and then exits with 0', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'cleat-pause-'));
    try {
      await writeFile(join(dir, 'pause'), pauseProgram(hostArchitecture()));
      await chmod(join(dir, 'pause'), 0o755);
      const child = spawn(join(dir, 'pause'), { stdio: 'ignore' });
      await once(child, 'spawn');
      const ended = once(child, 'exit');
      // The handlers are in place as soon as the program sleeps; until then SIGTERM would end it by itself.
      const { readFile } = await import('node:fs/promises');
      while (!/State:\s+S/.test(await readFile(`/proc/${String(child.pid)}/status`, 'utf8'))) await new Promise(setImmediate);
      child.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  it('is an executable for each architecture', () => {
    expect(pauseProgram('amd64').readUInt16LE(18)).toBe(62);
    expect(pauseProgram('arm64').readUInt16LE(18)).toBe(183);
    for (const architecture of ['amd64', 'arm64'] as const) {
      const program = pauseProgram(architecture);
      expect(program.subarray(0, 4).toString('latin1')).toBe('\u007fELF');
      expect(Number(program.readBigUInt64LE(64 + 32))).toBe(program.length);
    }
  });
});

describe("the example's image", () => {
  it('brings the libraries of a busybox that is not static', async () => {
    let archive = '';
    const importImage = async (chunks: AsyncIterable<Uint8Array>): Promise<readonly string[]> => {
      for await (const chunk of chunks) archive += Buffer.from(chunk).toString('latin1');
      return [];
    };
    await ensureHelloImage({ imageId: () => Promise.resolve(undefined), importImage }, new AbortController().signal, '/bin/sh');
    expect(archive).toMatch(/lib\S*\/ld-(linux|musl)\S*/);
    expect(archive).toMatch(/lib\S*\/libc\.\S*/);
  });
});

describe('image archive', () => {
  it('gives the same bytes for the same spec', () => {
    expect(imageArchive(pauseSpec('arm64')).equals(imageArchive(pauseSpec('arm64')))).toBe(true);
    expect(imageArchive(pauseSpec('arm64')).equals(imageArchive(pauseSpec('amd64')))).toBe(false);
  });

  it('names the image and architecture for containerd and Docker', () => {
    const text = imageArchive(helloSpec('amd64', Buffer.from('busybox'))).toString('latin1');
    expect(text).toContain('"io.containerd.image.name":"docker.io/library/cleat-hello:1"');
    expect(text).toContain('"RepoTags":["docker.io/library/cleat-hello:1"]');
    expect(text).toContain('"architecture":"amd64"');
  });
});
