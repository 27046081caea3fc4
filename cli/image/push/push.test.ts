import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { blobsOf, partsOf, rangeOf, type PartsOfFile } from '#common/archive-parts.ts';
import { systemClock, type Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { LineReader, type PushAnswer, type PushCommand } from '#common/image-push.ts';
import { imageArchive } from '#install/images.ts';
import type { Io } from '../../types.ts';
import type { ImageNode } from '../nodes.ts';
import type { ImageExchange } from '../request.ts';
import { pushBlobs, type PushSource } from './push.ts';

const io = { interrupted: new AbortController().signal } as unknown as Io;
const progress = { sent: () => undefined, has: () => undefined, say: () => undefined };
const node = (name: string): ImageNode => ({ name, architecture: 'amd64', isReady: true, addresses: ['192.0.2.1'], site: '' });

let dir: string;
let file: FileHandle;
let parts: PartsOfFile;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-push-'));
  const bytes = imageArchive({ name: 'docker.io/library/app:1', architecture: 'amd64', files: [{ path: 'x', type: 'file', mode: 0o644, data: randomBytes(400_000) }], entrypoint: ['/x'] });
  await writeFile(join(dir, 'a.tar'), bytes);
  file = await open(join(dir, 'a.tar'));
  parts = await partsOf(file, bytes.length, io.interrupted);
});
afterEach(async () => {
  await file.close();
  await rm(dir, { recursive: true, force: true });
});
const source = (): PushSource => ({ parts, read: (digest, from) => rangeOf(file, (parts.offsets.get(digest) ?? 0) + from, (blobsOf(parts).get(digest) ?? 0) - from) });

/** A node that keeps what comes, and breaks off each time that so much of blobs has come, as often as it is told to. */
class BrittleNode {
  readonly came = new Map<string, number>();
  #breaks: number;
  readonly #afterBytes: number;
  opened = 0;
  sentBytes = 0;

  constructor(breaks: number, afterBytes: number) {
    this.#breaks = breaks;
    this.#afterBytes = afterBytes;
  }

  open(): ImageExchange {
    this.opened++;
    const [input, output] = [new PassThrough(), new PassThrough()];
    const over = Promise.withResolvers<void>();
    over.promise.catch(() => undefined);
    void this.#serve(new LineReader(input), (answer) => { output.write(`${JSON.stringify(answer)}\n`); }).then(() => { over.resolve(); }, (error: unknown) => { over.reject(error); }).finally(() => { output.end(); });
    return { write: (chunk) => { input.write(chunk); return Promise.resolve(); }, end: () => { input.end(); return Promise.resolve(); }, output, finish: () => over.promise, close: () => { input.destroy(); } };
  }

  async #serve(reader: LineReader, say: (answer: PushAnswer) => void): Promise<void> {
    let left = this.#afterBytes;
    for (let line = await reader.line(); line !== undefined; line = await reader.line()) {
      const command = JSON.parse(line) as PushCommand;
      if (command.do === 'offer') say({ held: [], begun: Object.fromEntries(this.came), shared: [] });
      else if (command.do === 'import') say({ names: ['app:1'] });
      else if (command.do === 'put') {
        const { digest, size, from = 0 } = command;
        expect(from).toBe(this.came.get(digest) ?? 0);
        for await (const chunk of reader.bytes({ size: size - from })) {
          this.came.set(digest, (this.came.get(digest) ?? 0) + chunk.length);
          this.sentBytes += chunk.length;
          left -= chunk.length;
          if (left <= 0 && this.#breaks-- > 0) throw new StatusError('ServiceUnavailable', 'the line is cut');
        }
        say({});
      } else throw new Error(line);
    }
  }
}
/** Waits take no time. */
const hasty: Clock = { now: () => systemClock.now(), monotonic: () => systemClock.monotonic(), after: (ms, fn) => systemClock.after(ms, fn), sleep: () => Promise.resolve() };

it('goes on with a node that breaks off, and sends nothing twice that has come', async () => {
  const brittle = new BrittleNode(2, 60_000);
  const said: string[] = [];
  const [outcome] = await pushBlobs(() => Promise.resolve(brittle.open()), source(), [node('pi')], { ...progress, say: (text) => { said.push(text); } }, io, hasty);
  expect([outcome?.names, outcome?.failure, outcome?.hadBytes]).toEqual([['app:1'], undefined, 0]);
  expect([brittle.opened, brittle.sentBytes]).toEqual([3, [...blobsOf(parts).values()].reduce((a, b) => a + b, 0)]);
  expect(said).toEqual(Array.from({ length: 2 }, () => 'node pi: broke off (the line is cut); trying again in 1 s, from where it was\n'));
});

it('gives up a node that gets no further, and says why; others are none the worse', async () => {
  const [stuck, well] = [new BrittleNode(Infinity, 0), new BrittleNode(0, 0)];
  const hopeless = (): ImageExchange => { stuck.came.clear(); return stuck.open(); };
  const outcomes = await pushBlobs((name) => Promise.resolve(name === 'well' ? well.open() : hopeless()), source(), [node('pi'), node('well')], progress, io, hasty);
  expect(outcomes.map(({ names, failure }) => [names, String(failure)])).toEqual([[[], expect.stringContaining('the line is cut')], [['app:1'], 'undefined']]);
  expect(stuck.opened).toBe(10);
});

it('leaves nodes to the whole archive that know no push by blobs, and names those that cannot be asked', async () => {
  const refusals: Readonly<Record<string, StatusError>> = {
    'old-agent': new StatusError('BadRequest', 'a stream request that is not what the edge contract says'), 'old-server': new StatusError('NotFound', 'the server could not find the requested resource'), 'gone': new StatusError('ServiceUnavailable', 'node gone is not connected'),
  };
  const refuse = (name: string): Promise<never> => Promise.reject(refusals[name] ?? new Error(name));
  const outcomes = await pushBlobs(refuse, source(), Object.keys(refusals).map(node), progress, io);
  expect(outcomes.map(({ node: name, whole, failure }) => [name, whole, failure])).toEqual([
    ['old-agent', 'its agent, or the control plane, is of an older version', undefined], ['old-server', 'its agent, or the control plane, is of an older version', undefined], ['gone', undefined, refusals['gone']],
  ]);
  await expect(pushBlobs(refuse, { from: node('old-agent'), image: 'app:1' }, [node('gone')], progress, io)).rejects.toMatchObject({ code: 'BadRequest' });
});
