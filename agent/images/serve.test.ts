import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { commandChannels } from '#common/streams/channels.ts';
import { unpacked } from '#common/unpacked.ts';
import { imageArchive, hostArchitecture } from '#install/images.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import type { ImageRequest } from '#agent/session/types.ts';
import { ImageRecords } from './records.ts';
import { serveImages } from './serve.ts';

let dir: string;
let driver: FakeDriver;
let arrivals: number;
let records: ImageRecords;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-serve-images-'));
  driver = new FakeDriver(new ManualClock());
  arrivals = 0;
  records = await ImageRecords.open(join(dir, 'images.json'), silentLog);
});
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

const archive = imageArchive({ name: 'docker.io/library/app:1', architecture: hostArchitecture(), files: [], entrypoint: ['/x'] });
const push = () => Promise.reject(new Error('not in this test'));
async function text(source: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function ask(request: Record<string, unknown>, input?: Buffer): Promise<{ output: string; status: { status?: string; reason?: string; message?: string } }> {
  const collector = { list: () => Promise.resolve([{ id: 'i', names: ['n'], sizeBytes: 1, keptFor: undefined, isLoaded: true }]), prune: () => Promise.resolve([]) };
  const near = serveImages({ driver, records, collector, push, log: silentLog, arrived: () => { arrivals++; } }, { kind: 'images', stdin: input !== undefined, stdout: true, stderr: false, tty: false, ...request } as ImageRequest, new AbortController().signal);
  const send = async (): Promise<void> => {
    for (let at = 0; input && at < input.length; at += 1000) await near.channel(commandChannels.stdin).write(input.subarray(at, at + 1000));
    if (input) await near.channel(commandChannels.stdin).end();
  };
  const [output, status] = await Promise.all([text(near.channel(commandChannels.stdout)), text(near.channel(commandChannels.status)), send()]);
  near.close();
  return { output, status: JSON.parse(status) as { status?: string } };
}

describe('a node asked about its images', () => {
  it.each<[string, Buffer]>([['plain', archive], ['gzip', gzipSync(archive)], ['zstd', zstdCompressSync(archive)]])('loads an archive that comes %s, and remembers it', async (_, input) => {
    const { output, status } = await ask({ verb: 'load' }, input);
    expect([JSON.parse(output), status.status]).toEqual([['docker.io/library/app:1'], 'Success']);
    expect(driver.images.has('docker.io/library/app:1')).toBe(true);
    expect((await ImageRecords.open(join(dir, 'images.json'), silentLog)).isLoaded('docker.io/library/app:1')).toBe(true);
    expect(arrivals).toBe(1);
  });

  it('says why it does not', async () => {
    expect((await ask({ verb: 'load' }, Buffer.from('nonsense'))).status).toMatchObject({ status: 'Failure', reason: 'Invalid', message: 'this is no image archive' });
    expect((await ask({ verb: 'load' }, gzipSync(archive).subarray(0, 50))).status).toMatchObject({ status: 'Failure' });
    expect((await ask({ verb: 'save', image: 'absent' })).status).toMatchObject({ reason: 'NotFound', message: 'this node has no image absent' });
    expect([records.isLoaded('docker.io/library/app:1'), arrivals]).toEqual([false, 0]);
  });

  it('stops when whoever sends the archive goes away', async () => {
    const began = Promise.withResolvers<AbortSignal>();
    const importImage = async (source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string[]> => {
      began.resolve(signal);
      for await (const _ of source) { /* as much as comes */ }
      return ['half'];
    };
    const collector = { list: () => Promise.resolve([]), prune: () => Promise.resolve([]) };
    const near = serveImages({ driver: { importImage, exportImage: driver.exportImage.bind(driver), imageId: driver.imageId.bind(driver) }, records, collector, push, log: silentLog, arrived: () => { arrivals++; } }, { kind: 'images', verb: 'load', stdin: true, stdout: true, stderr: false, tty: false }, new AbortController().signal);
    await near.channel(commandChannels.stdin).write(archive.subarray(0, 1000));
    const signal = await began.promise;
    const aborted = new Promise((resolve) => { signal.addEventListener('abort', resolve, { once: true }); });
    near.close(new Error('gone'));
    await aborted;
    await new Promise((resolve) => { setImmediate(resolve); });
    expect(records.isLoaded('docker.io/library/half:latest')).toBe(false);
  });

  it('lists, prunes and saves', async () => {
    expect(JSON.parse((await ask({ verb: 'list' })).output)).toEqual([{ id: 'i', names: ['n'], sizeBytes: 1, isLoaded: true }]);
    expect((await ask({ verb: 'prune', dryRun: true, loaded: false })).output).toBe('[]');
    driver.images.set('app', 'sha256:1');
    expect((await ask({ verb: 'save', image: 'app' })).output).toContain('app');
  });
});

it('unpacks what comes in small pieces, and leaves what is not packed', async () => {
  const pieces = async function* cut(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> { for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size); };
  for (const size of [1, 3, 7]) expect(await text(unpacked(pieces(gzipSync('hello hello'), size)))).toBe('hello hello');
  expect([await text(unpacked(pieces(Buffer.from('ab'), 1))), await text(unpacked(pieces(Buffer.alloc(0), 1)))]).toEqual(['ab', '']);
});
