import type { LogEntry } from '#agent/runtimes/types.ts';
import { parseLogLine, timeOf } from './line.ts';

export interface TextOptions {
  readonly timestamps: boolean;
  /** Older lines are left out. */
  readonly sinceMs?: number;
  readonly limitBytes?: number;
}

/** A longer entry is cut; the runtime itself splits at 16 KiB. */
const maxEntryBytes = 1 << 20;
const lineFeed = 0x0a;
const space = 0x20;
const full = 0x46;
const newline = Buffer.from('\n');
const nothing = Buffer.alloc(0);
/** `stdout F ` or `stderr P `, behind the time and its space. */
const markBytes = 9;

/**
 * The text of a log's entries: joins what belongs to one line, and drops what is too old. Works on blocks of a file at a
 * time: a busy container writes a hundred thousand lines a second, and each costs whoever follows it.
 */
export class LogText {
  readonly #options: TextOptions;
  #rest: Buffer = nothing;
  #midLine = false;
  #skipping: boolean;
  /** Of the time that a line begins with; the runtime writes them all alike. */
  #timeBytes = 0;

  constructor(options: TextOptions) {
    this.#options = options;
    this.#skipping = options.sinceMs !== undefined;
  }

  /** Of the lines that end in the block, which may be used again afterwards. */
  take(block: Buffer): Buffer {
    const data = this.#rest.length === 0 ? block : Buffer.concat([this.#rest, block]);
    // The text of a line is never longer than the line.
    const text = Buffer.allocUnsafe(data.length);
    let length = 0;
    let start = 0;
    for (let end = data.indexOf(lineFeed); end >= 0; end = data.indexOf(lineFeed, start)) {
      length = this.#put(data, start, end, text, length);
      start = end + 1;
    }
    this.#rest = start === data.length ? nothing : Buffer.from(data.subarray(start, start + maxEntryBytes));
    return text.subarray(0, length);
  }

  /** Of what the end of the file cut short. */
  rest(): Buffer {
    const entry = parseLogLine(this.#rest);
    this.#rest = nothing;
    return entry ? this.entry(entry) : nothing;
  }

  entry(entry: LogEntry): Buffer {
    if (this.#skipping && timeOf(entry) < (this.#options.sinceMs ?? 0)) return nothing;
    this.#skipping = false;
    const parts = [entry.text];
    if (this.#options.timestamps && !this.#midLine) parts.unshift(Buffer.from(`${entry.time} `));
    if (entry.complete) parts.push(newline);
    this.#midLine = !entry.complete;
    return Buffer.concat(parts);
  }

  /** Writes the text of one line; returns where the next one goes. */
  #put(data: Buffer, start: number, end: number, text: Buffer, at: number): number {
    const mark = start + this.#timeBytes;
    const plain = this.#timeBytes > 0 && !this.#skipping && data[mark] === space && data[mark + 7] === space && data[mark + 8] === full && data[mark + 9] === space && mark + markBytes < end;
    if (plain && !this.#midLine && !this.#options.timestamps) return at + data.copy(text, at, mark + 1 + markBytes, end + 1);
    const entry = parseLogLine(data.subarray(start, end));
    if (!entry) return at;
    this.#timeBytes = entry.time.length;
    return at + this.entry(entry).copy(text, at);
  }
}
