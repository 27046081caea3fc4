import { appendFile, mkdtemp, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock, systemClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import type { Container } from '#agent/runtimes/types.ts';
import { PodLogs } from './pod-logs.ts';
import { readLog, type ReadOptions } from './reader.ts';
import { defaultRotation, rotateLog } from './rotate.ts';

let dir: string;
let path: string;
const signal = new AbortController().signal;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-logs-'));
  path = join(dir, '0.log');
});
afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

const time = (second: number): string => `2026-01-01T00:00:${String(second).padStart(2, '0')}.123456789Z`;
const entry = (second: number, text: string, tag = 'F'): string => `${time(second)} stdout ${tag} ${text}\n`;

async function read(options: Partial<ReadOptions> = {}): Promise<string> {
  let text = '';
  for await (const chunk of readLog(path, { follow: false, timestamps: false, ...options }, signal)) text += Buffer.from(chunk).toString();
  return text;
}

describe('reading a log', () => {
  it('gives the text, joins long lines and passes over rubbish', async () => {
    await writeFile(path, `${entry(1, 'one')}${entry(2, 'be', 'P')}${entry(2, 'gin')}rubbish\n${entry(3, '')}${entry(4, 'three words here')}`);
    expect(await read()).toBe('one\nbegin\n\nthree words here\n');
    expect(await read({ timestamps: true })).toBe(`${time(1)} one\n${time(2)} begin\n${time(3)} \n${time(4)} three words here\n`);
  });

  it('gives the same whether lines are alike or not', async () => {
    const parts = Array.from({ length: 8000 }, (_, i) => ({ text: 'é'.repeat((i * 7919) % 97), stream: i % 5 === 0 ? 'stderr' : 'stdout', tag: i % 11 === 0 ? 'P' : i % 13 === 0 ? 'F:x' : 'F', zone: i % 17 === 0 ? '+01:00' : 'Z' }));
    await writeFile(path, parts.map(({ text, stream, tag, zone }) => `2026-01-01T00:00:01.123456789${zone} ${stream} ${tag} ${text}\n`).join(''));
    expect(await read()).toBe(parts.map(({ text, tag }) => (tag === 'P' ? text : `${text}\n`)).join(''));
  });

  it.each([[0, ''], [1, 'd\n'], [2, 'bc\nd\n'], [3, 'a\nbc\nd\n'], [9, 'a\nbc\nd\n']])('gives the last %i lines', async (tailLines, expected) => {
    await writeFile(path, `${entry(1, 'a')}${entry(2, 'b', 'P')}${entry(2, 'c')}${entry(3, 'd')}`);
    expect(await read({ tailLines })).toBe(expected);
  });

  it('finds the end of a large file at small cost', async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `line ${String(i)} ${'x'.repeat(i % 300)}`);
    await writeFile(path, lines.map((line) => entry(1, line)).join(''));
    for (const tailLines of [1, 500, 5000]) expect((await read({ tailLines })).trimEnd().split('\n')).toEqual(lines.slice(-tailLines));
  });

  it('reads a line that is longer than a block backwards', async () => {
    const long = Array.from({ length: 10 }, () => entry(2, 'y'.repeat(16_000), 'P')).join('');
    await writeFile(path, `${entry(1, 'a')}${long}${entry(2, 'end')}${entry(3, 'z')}`);
    expect((await read({ tailLines: 2 })).length).toBe(160_000 + 'end\nz\n'.length);
  });

  it('leaves out what is older, and stops at a number of bytes', async () => {
    await writeFile(path, entry(1, 'a') + entry(2, 'b') + entry(3, 'c'));
    expect(await read({ sinceMs: Date.parse('2026-01-01T00:00:02Z') })).toBe('b\nc\n');
    expect(await read({ limitBytes: 3 })).toBe('a\nb');
  });

  it('begins with rotated files', async () => {
    await writeFile(`${path}.2`, entry(1, 'a'));
    await writeFile(`${path}.1`, entry(2, 'b'));
    await writeFile(path, entry(3, 'c'));
    expect(await read()).toBe('a\nb\nc\n');
  });

  it('says when there is no log', async () => {
    await expect(read()).rejects.toMatchObject({ code: 'NotFound' });
  });
});

describe('rotating a log', () => {
  const rotate = async (): Promise<boolean> => {
    const driver = new FakeDriver(systemClock);
    const rotated = await rotateLog(driver, { id: 'c', logPath: path } as Container, { maxBytes: 10, maxFiles: 3 }, signal);
    expect(driver.calls).toEqual(rotated ? ['reopen-log'] : []);
    return rotated;
  };
  it('moves a large one aside', async () => {
    await writeFile(path, 'short');
    expect(await rotate()).toBe(false);
    await writeFile(path, 'long enough');
    expect(await rotate()).toBe(true);
    expect(await readFile(`${path}.1`, 'utf8')).toBe('long enough');
  });
  it('ends what an agent that was killed in the middle began', async () => {
    await writeFile(`${path}.1`, 'still written to');
    expect(await rotate()).toBe(true);
  });
  it('is done once a minute, sooner where some grow fast, and whatever becomes of others', async () => {
    const clock = new ManualClock();
    const driver = new FakeDriver(clock);
    driver.list = () => Promise.resolve({ sandboxes: [], containers: ['broken', 'full'].map((id) => ({ id, state: 'running', logPath: join(dir, id) }) as Container) });
    driver.failures.set('reopenLog', [new StatusError('InternalError', 'no such shim')]);
    const stop = new AbortController();
    const running = new PodLogs({ driver, clock, log: silentLog, rotation: defaultRotation, hasPods: () => true, waitingReason: () => undefined }).start(stop.signal);
    const fill = async (): Promise<void> => {
      await writeFile(join(dir, 'broken'), '');
      await writeFile(join(dir, 'full'), '');
      for (const id of ['broken', 'full']) await truncate(join(dir, id), 11 << 20);
    };
    const rotations = async (count: number): Promise<void> => {
      while (driver.calls.length < count) await new Promise((resolve) => { setImmediate(resolve); });
      await new Promise((resolve) => { setImmediate(resolve); });
    };
    await fill();
    await clock.advance(60_000);
    await rotations(2);
    expect((await readdir(dir)).sort()).toEqual(['broken.1', 'full.1']);
    await fill();
    await clock.advance(10_000);
    await rotations(4);
    expect((await readdir(dir)).sort()).toEqual(['broken.1', 'broken.2', 'full.1', 'full.2']);
    stop.abort(new Error('end'));
    await running.catch(() => undefined);
  });
});

describe('following a log', () => {
  /** What a follower hears of a log with one line, of which `change` makes what it is when its container ends. */
  async function followed(change: () => Promise<void>): Promise<string> {
    await writeFile(path, entry(1, 'a'));
    const { promise: ended, resolve: end } = Promise.withResolvers<undefined>();
    let text = '';
    for await (const chunk of readLog(path, { follow: true, timestamps: false, ended }, signal)) {
      text += Buffer.from(chunk).toString();
      if (text !== 'a\n') continue;
      await change();
      end(undefined);
    }
    return text;
  }

  it('goes on through a rotation and ends with the container', async () => {
    await writeFile(path, entry(1, 'a'));
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => { end = resolve; });
    const seen: string[] = [];
    for await (const chunk of readLog(path, { follow: true, timestamps: false, ended }, signal)) {
      seen.push(Buffer.from(chunk).toString());
      if (seen.length === 1) await appendFile(path, entry(2, 'b'));
      if (seen.length === 2) {
        await rename(path, `${path}.1`);
        await appendFile(`${path}.1`, entry(3, 'c'));
        await writeFile(path, entry(4, 'd'));
      }
      if (seen.length === 4) { await appendFile(path, entry(5, 'e')); end(); }
    }
    expect(seen.join('')).toBe('a\nb\nc\nd\ne\n');
  });

  it('loses nothing of a log that is rotated more than once before it is read on, and also when its container ends then', async () => {
    expect(await followed(async () => {
      for (const [n, word] of ['b', 'c', 'd'].entries()) {
        await rename(`${path}.1`, `${path}.2`).catch(() => undefined);
        await rename(path, `${path}.1`);
        await writeFile(path, entry(n + 2, word));
      }
    })).toBe('a\nb\nc\nd\n');
  });

  it('goes on with the oldest file that is left where its own is gone', async () => {
    // What was removed is gone for everybody.
    expect(await followed(async () => {
      await rm(path);
      await writeFile(`${path}.1`, entry(2, 'b'));
      await writeFile(path, entry(3, 'c'));
    })).toBe('a\nb\nc\n');
  });

  it('ends when aborted', async () => {
    await writeFile(path, entry(1, 'a'));
    const stop = new AbortController();
    let text = '';
    for await (const chunk of readLog(path, { follow: true, timestamps: false }, stop.signal)) {
      text += Buffer.from(chunk).toString();
      stop.abort();
    }
    expect(text).toBe('a\n');
  });
});
