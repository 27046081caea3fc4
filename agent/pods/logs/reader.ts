import { watch } from 'node:fs';
import { open, readdir, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { StatusError } from '#common/errors.ts';
import type { LogEntry, LogOptions } from '#agent/runtimes/types.ts';
import { parseLogLine, timeOf } from './line.ts';
import { tailOffset } from './tail.ts';

export interface TextOptions {
  readonly timestamps: boolean;
  /** Older lines are left out. */
  readonly sinceMs?: number;
  readonly limitBytes?: number;
}

export interface ReadOptions extends LogOptions, TextOptions {
  /** Resolves when the container has ended: what is in the file then is all. */
  readonly ended?: Promise<void>;
}

const blockBytes = 64 * 1024;
/** A longer entry is cut; the runtime itself splits at 16 KiB. */
const maxEntryBytes = 1 << 20;
const lineFeed = 0x0a;
const newline = Buffer.from('\n');

/** Yields the text of a container's CRI log. Holds one block and one entry in memory, however large the log is. */
export async function* readLog(path: string, options: ReadOptions, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield* logText(entries(path, options, signal), options);
}

/** The text of a log's entries. */
export async function* logText(source: AsyncIterable<LogEntry>, options: TextOptions): AsyncGenerator<Uint8Array> {
  let left = options.limitBytes ?? Infinity;
  const format = new Formatter(options);
  for await (const entry of source) {
    const text = format.text(entry);
    if (!text) continue;
    if (text.length >= left) {
      yield text.subarray(0, left);
      return;
    }
    left -= text.length;
    yield text;
  }
}

/** Joins what belongs to one line, and drops what is too old. */
class Formatter {
  readonly #options: TextOptions;
  #midLine = false;
  #skipping: boolean;

  constructor(options: TextOptions) {
    this.#options = options;
    this.#skipping = options.sinceMs !== undefined;
  }

  text(entry: LogEntry): Buffer | undefined {
    if (this.#skipping && timeOf(entry) < (this.#options.sinceMs ?? 0)) return undefined;
    this.#skipping = false;
    const parts = [entry.text];
    if (this.#options.timestamps && !this.#midLine) parts.unshift(Buffer.from(`${entry.time} `));
    if (entry.complete) parts.push(newline);
    this.#midLine = !entry.complete;
    return Buffer.concat(parts);
  }
}

async function* entries(path: string, options: ReadOptions, signal: AbortSignal): AsyncGenerator<LogEntry> {
  let file = await openLog(path);
  try {
    const older = options.tailLines === undefined ? await rotated(path) : [];
    for (const name of older) yield* wholeFile(name, signal);
    let position = options.tailLines === undefined ? 0 : await tailOffset(file, (await file.stat()).size, options.tailLines);
    const splitter = new Splitter();
    const changes = options.follow ? new Changes(path, options.ended, signal) : undefined;
    try {
      for (;;) {
        const last = changes?.isOver ?? true;
        for await (const block of blocks(file, position, signal)) {
          position += block.length;
          yield* splitter.take(block);
        }
        if (!changes || last || signal.aborted) { yield* splitter.rest(); return; }
        await changes.next();
        const renewed = await reopened(path, file, position);
        if (renewed) {
          // The old file was read to its end before the runtime went on in a new one, but for what came in between.
          for await (const block of blocks(file, position, signal)) yield* splitter.take(block);
          await file.close();
          file = renewed;
          position = 0;
        }
      }
    } finally {
      changes?.close();
    }
  } finally {
    await file.close();
  }
}

async function* wholeFile(path: string, signal: AbortSignal): AsyncGenerator<LogEntry> {
  const file = await openLog(path);
  try {
    const splitter = new Splitter();
    for await (const block of blocks(file, 0, signal)) yield* splitter.take(block);
    yield* splitter.rest();
  } finally {
    await file.close();
  }
}

/** Rotated files of a log, oldest first: `0.log.2`, `0.log.1`. */
async function rotated(path: string): Promise<string[]> {
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

/** The file that has the path now, if it is another than `file`, as after a rotation. */
async function reopened(path: string, file: FileHandle, position: number): Promise<FileHandle | undefined> {
  const [now, held] = await Promise.all([stat(path).catch(() => undefined), file.stat()]);
  if (!now || (now.ino === held.ino && now.size >= position)) return undefined;
  return open(path, 'r').catch(() => undefined);
}

async function* blocks(file: FileHandle, from: number, signal: AbortSignal): AsyncGenerator<Buffer> {
  for (let position = from; !signal.aborted;) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(blockBytes), 0, blockBytes, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

/** Cuts blocks into entries. */
class Splitter {
  #rest: Buffer = Buffer.alloc(0);

  *take(block: Buffer): Generator<LogEntry> {
    let data = this.#rest.length === 0 ? block : Buffer.concat([this.#rest, block]);
    for (let end = data.indexOf(lineFeed); end >= 0; end = data.indexOf(lineFeed)) {
      const line = parseLogLine(data.subarray(0, end));
      if (line) yield line;
      data = data.subarray(end + 1);
    }
    this.#rest = data.length > maxEntryBytes ? data.subarray(0, maxEntryBytes) : data;
  }

  /** What the end of the file cut short. */
  *rest(): Generator<LogEntry> {
    const line = parseLogLine(this.#rest);
    this.#rest = Buffer.alloc(0);
    if (line) yield line;
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
