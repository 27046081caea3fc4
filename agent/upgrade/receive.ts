import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { syncFolder } from '#common/atomic-file.ts';
import { StatusError } from '#common/errors.ts';
import type { ByteStream } from '#common/streams/channels.ts';
import { receivedPath } from './paths.ts';
import type { HostAnswer, HostTask } from '#common/host-task.ts';

type Receive = Extract<HostTask, { task: 'receive' }>;

/** An executable of several times its packed size. */
const maxExecutableBytes = 512 << 20;

/** Takes a file off the stream; it has its name once all of it is there, checked and synced. */
export async function receive(stateDir: string, task: Receive, stream: ByteStream): Promise<HostAnswer> {
  const path = task.purpose === 'executable' ? receivedPath(stateDir, task.sha256) : join(stateDir, 'backups', task.name);
  const folder = join(path, '..');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const have = await isThere(task, path);
  await stream.write(Buffer.from(`${JSON.stringify({ have } satisfies HostAnswer)}\n`));
  if (have) {
    for await (const _ of stream) { /* nothing comes */ }
    return { done: true, message: 'it was here already' };
  }
  await removeOlder(folder, task.purpose === 'executable' ? /^cleat-[0-9a-f]{16}(\.unfinished)?$/ : /\.unfinished$/);
  await requireRoom(folder, task.purpose === 'executable' ? Math.max(3 * task.bytes, 150 << 20) : task.bytes);
  const unfinished = `${path}.unfinished`;
  try {
    await write(task, stream, unfinished);
    await rename(unfinished, path);
    await syncFolder(folder);
  } finally {
    await rm(unfinished, { force: true });
  }
  if (task.purpose === 'backup') await keepNewest(folder, task.name, task.keep);
  return { done: true, message: `${path} is here` };
}

/** An executable is unpacked, so its sum was checked when it came. */
async function isThere({ purpose, sha256 }: Receive, path: string): Promise<boolean> {
  if (!existsSync(path)) return false;
  if (purpose === 'executable') return true;
  const sum = createHash('sha256');
  for await (const chunk of createReadStream(path)) sum.update(chunk as Buffer);
  return sum.digest('hex') === sha256;
}

async function write({ purpose, bytes, sha256 }: Receive, stream: ByteStream, path: string): Promise<void> {
  const sum = createHash('sha256');
  let received = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of stream) {
      received += chunk.length;
      if (received > bytes) throw new StatusError('Invalid', 'more came than was said');
      sum.update(chunk);
      yield chunk;
    }
    if (received !== bytes || sum.digest('hex') !== sha256) throw new StatusError('Invalid', `what came is not what was sent (${String(received)} of ${String(bytes)} bytes); it is tried again with the next attempt`);
  };
  const source = Readable.from(counted(), { objectMode: true });
  const target = createWriteStream(path, { mode: purpose === 'executable' ? 0o755 : 0o600, flush: true });
  await (purpose === 'executable' ? pipeline(source, createGunzip(), atMost(maxExecutableBytes), target) : pipeline(source, target));
}

function atMost(bytes: number): Transform {
  let seen = 0;
  return new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      seen += chunk.length;
      done(seen > bytes ? new StatusError('Invalid', 'the executable is larger than any of Cleat') : null, chunk);
    },
  });
}

async function requireRoom(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < bytes) throw new StatusError('ServiceUnavailable', `${folder} has room for ${String(Math.floor(free / 1e6))} MB, and ${String(Math.ceil(bytes / 1e6))} MB are needed; make room, then run it again`);
}

async function removeOlder(folder: string, which: RegExp): Promise<void> {
  for (const name of await readdir(folder)) if (which.test(name)) await rm(join(folder, name), { force: true });
}

/** By their names, which begin with when they were made. Those made before an upgrade are not counted, nor those that are newer than the newest: they were made with a wrong clock. */
async function keepNewest(folder: string, newest: string, keep: number): Promise<void> {
  const names = (await readdir(folder)).filter((name) => /^daily-.*\.backup$/.test(name) && name <= newest).sort().reverse();
  for (const name of names.slice(Math.max(1, keep))) await rm(join(folder, name), { force: true });
}
