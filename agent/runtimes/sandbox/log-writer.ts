import { mkdir, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '#common/clock.ts';
import type { LogEntry } from '../types.ts';

const lineFeed = 0x0a;
/** Where containerd cuts. */
const pieceBytes = 16 << 10;

/** Writes what a container says in CRI's format: `2026-01-01T00:00:00.000000000Z stdout F text`. */
export class LogWriter {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #rests: Record<LogEntry['stream'], Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  #file: FileHandle | undefined;
  /** Writes and reopenings one after the other. */
  #last: Promise<void> = Promise.resolve();

  constructor(path: string, clock: Clock) {
    this.#path = path;
    this.#clock = clock;
  }

  /** Resolves when the bytes are handed to the kernel. The end of a line that is not yet complete is kept. */
  write(stream: LogEntry['stream'], bytes: Buffer): Promise<void> {
    return this.#next(async () => {
      const rest = this.#rests[stream];
      let data = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
      const head = this.#head(stream);
      const parts: Buffer[] = [];
      for (let end = data.indexOf(lineFeed); end >= 0 || data.length >= pieceBytes; end = data.indexOf(lineFeed)) {
        const whole = end >= 0 && end <= pieceBytes;
        const length = whole ? end : pieceBytes;
        parts.push(Buffer.from(`${head} ${whole ? 'F' : 'P'} `), data.subarray(0, length), newline);
        data = data.subarray(whole ? length + 1 : length);
      }
      this.#rests[stream] = Buffer.from(data);
      if (parts.length > 0) await this.#append(Buffer.concat(parts));
    });
  }

  /** After the file was renamed. */
  reopen(): Promise<void> {
    return this.#next(async () => {
      await this.#file?.close();
      this.#file = undefined;
      await this.#opened();
    });
  }

  /** Writes what is left of a line that was never ended: a piece of one, so that nobody reads an end into it. */
  close(): Promise<void> {
    return this.#next(async () => {
      for (const stream of ['stdout', 'stderr'] as const) {
        const rest = this.#rests[stream];
        if (rest.length > 0) await this.#append(Buffer.concat([Buffer.from(`${this.#head(stream)} P `), rest, newline]));
        this.#rests[stream] = Buffer.alloc(0);
      }
      await this.#file?.close();
      this.#file = undefined;
    });
  }

  #head(stream: LogEntry['stream']): string {
    return `${new Date(this.#clock.now()).toISOString().replace('Z', '000000Z')} ${stream}`;
  }

  async #append(data: Buffer): Promise<void> {
    await (await this.#opened()).appendFile(data);
  }

  async #opened(): Promise<FileHandle> {
    if (this.#file) return this.#file;
    await mkdir(dirname(this.#path), { recursive: true });
    return this.#file = await open(this.#path, 'a', 0o640);
  }

  #next(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}

const newline = Buffer.from('\n');
