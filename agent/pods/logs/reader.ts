import { watch } from 'node:fs';
import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { StatusError } from '#common/errors.ts';
import type { LogEntry, LogOptions } from '#agent/runtimes/types.ts';
import { tailOffset } from './tail.ts';
import { LogText, type TextOptions } from './text.ts';

export interface ReadOptions extends LogOptions, TextOptions {
  /** Resolves when the container has ended: what is in the file then is all. */
  readonly ended?: Promise<void>;
}

const blockBytes = 64 * 1024;

/** Yields the text of a container's CRI log. Holds one block and one entry in memory, however large the log is. */
export async function* readLog(path: string, options: ReadOptions, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield* limited(texts(path, options, signal), options);
}

/** The text of a log's entries. */
export async function* logText(source: AsyncIterable<LogEntry>, options: TextOptions): AsyncGenerator<Uint8Array> {
  const format = new LogText(options);
  yield* limited(map(source, (entry) => format.entry(entry)), options);
}

async function* map<T, R>(source: AsyncIterable<T>, change: (item: T) => R): AsyncGenerator<R> {
  for await (const item of source) yield change(item);
}

/** What is not empty, until the limit. */
async function* limited(source: AsyncIterable<Buffer>, { limitBytes }: TextOptions): AsyncGenerator<Uint8Array> {
  let left = limitBytes ?? Infinity;
  for await (const text of source) {
    if (text.length === 0) continue;
    if (text.length >= left) {
      yield text.subarray(0, left);
      return;
    }
    left -= text.length;
    yield text;
  }
}

async function* texts(path: string, options: ReadOptions, signal: AbortSignal): AsyncGenerator<Buffer> {
  let file = await openLog(path);
  const text = new LogText(options);
  const blocks = new Blocks(signal);
  try {
    const older = options.tailLines === undefined ? await rotated(path) : [];
    for (const name of older) yield* wholeFile(name, text, blocks);
    let position = options.tailLines === undefined ? 0 : await tailOffset(file, (await file.stat()).size, options.tailLines);
    const changes = options.follow ? new Changes(path, options.ended, signal) : undefined;
    try {
      for (;;) {
        const last = changes?.isOver ?? true;
        for await (const block of blocks.of(file, position)) {
          position += block.length;
          yield text.take(block);
        }
        const newer = changes && await newerThan(path, file, position);
        if (newer) {
          // The old file was read to its end before the runtime went on in a new one, but for what came in between.
          for await (const block of blocks.of(file, position)) yield text.take(block);
          await file.close();
          file = newer;
          position = 0;
          continue;
        }
        if (!changes || last || signal.aborted) { yield text.rest(); return; }
        await changes.next();
      }
    } finally {
      changes?.close();
    }
  } finally {
    await file.close();
  }
}

async function* wholeFile(path: string, text: LogText, blocks: Blocks): AsyncGenerator<Buffer> {
  const file = await openLog(path);
  try {
    for await (const block of blocks.of(file, 0)) yield text.take(block);
    yield text.rest();
  } finally {
    await file.close();
  }
}

/** Rotated files of a log, oldest first: `0.log.2`, `0.log.1`. */
export async function rotated(path: string): Promise<string[]> {
  const prefix = `${basename(path)}.`;
  const names = (await readdir(dirname(path)).catch(() => [])).filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)));
  return names.sort((a, b) => Number(b.slice(prefix.length)) - Number(a.slice(prefix.length))).map((name) => join(dirname(path), name));
}

async function openLog(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r');
  } catch (error) {
    throw new StatusError('NotFound', `the log file ${path} is not there (any more)`, { cause: error });
  }
}

/** The file that comes after `file`, if there is one: a busy log may be rotated more than once while it is read. Of what is removed by then nobody knows. */
async function newerThan(path: string, file: FileHandle, position: number): Promise<FileHandle | undefined> {
  const [now, held] = await Promise.all([stat(path).catch(() => undefined), file.stat()]);
  if (!now || (now.ino === held.ino && now.size >= position)) return undefined;
  const names = [...await rotated(path), path];
  const numbers = await Promise.all(names.map((name) => stat(name).then(({ ino }) => ino, () => undefined)));
  const next = Math.min(numbers.indexOf(held.ino) + 1, names.length - 1);
  const newer = await open(names[next] ?? path, 'r').catch(() => undefined);
  if (!newer || (await newer.stat()).ino === numbers[next]) return newer;
  // Rotated at this very moment: the name is another's by now.
  await newer.close();
  return newerThan(path, file, position);
}

/** Reads files a block at a time, into one piece of memory: a block is good until the next is asked for. */
class Blocks {
  readonly #signal: AbortSignal;
  readonly #memory = Buffer.allocUnsafe(blockBytes);

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  async *of(file: FileHandle, from: number): AsyncGenerator<Buffer> {
    for (let position = from; !this.#signal.aborted;) {
      const { bytesRead } = await file.read(this.#memory, 0, blockBytes, position);
      if (bytesRead === 0) return;
      position += bytesRead;
      yield this.#memory.subarray(0, bytesRead);
    }
  }
}

/** Says when to read again: the directory is watched, because a rotation replaces the file. */
class Changes {
  readonly #close: () => void;
  #changed = false;
  #wake: (() => void) | undefined;
  #over = false;

  constructor(path: string, ended: Promise<void> | undefined, signal: AbortSignal) {
    const note = (): void => { this.#changed = true; this.#wake?.(); };
    const watcher = watch(dirname(path), note);
    watcher.on('error', note);
    const end = (): void => { this.#over = true; note(); };
    void ended?.then(end, end);
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
    this.#close = () => { watcher.close(); signal.removeEventListener('abort', end); };
  }

  /** True when nothing will be added any more; one more read then sees everything. */
  get isOver(): boolean { return this.#over; }

  async next(): Promise<void> {
    if (!this.#changed) await new Promise<void>((resolve) => { this.#wake = resolve; });
    this.#changed = false;
    this.#wake = undefined;
  }

  close(): void { this.#close(); }
}
