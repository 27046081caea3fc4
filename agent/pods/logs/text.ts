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
/** `2026-01-01T00:00:00Z` and `2026-01-01T00:00:00.000000000+01:00`. */
const [shortestTime, longestTime] = [20, 35];

/**
 * The text of a log's entries: joins what belongs to one line, and drops what is too old. Works on blocks of a file at a
 * time: a busy container writes a hundred thousand lines a second, and each costs whoever follows it.
 */
export class LogText {
  readonly #options: TextOptions;
  #rest: Buffer = nothing;
  #midLine = false;
  #skipping: boolean;
  /** Of the time that the last line began with. The runtime leaves out zeros at its end, so a tenth of all are shorter. */
  #timeBytes = 0;

  constructor(options: TextOptions) {
    this.#options = options;
    this.#skipping = options.sinceMs !== undefined;
  }

  /** Of the lines that end in the block, which may be used again afterwards. */
  take(block: Buffer): Buffer {
    // The text of a line is never longer than the line: it takes the place of what has been read.
    const data = Buffer.concat([this.#rest, block]);
    let length = 0;
    let start = 0;
    for (let end = endOfLine(data, 0); end >= 0; end = endOfLine(data, start)) {
      length = this.#put(data, start, end, length);
      start = end + 1;
    }
    this.#rest = start === data.length ? nothing : Buffer.from(data.subarray(start, start + maxEntryBytes));
    return data.subarray(0, length);
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

  /** Where the time that a line begins with ends; 0 where there is none. */
  #endOfTime(data: Buffer, start: number): number {
    if (this.#timeBytes > 0 && isEndOfTime(data, start + this.#timeBytes)) return start + this.#timeBytes;
    for (let bytes = shortestTime; bytes <= longestTime; bytes++) {
      if (!isEndOfTime(data, start + bytes)) continue;
      this.#timeBytes = bytes;
      return start + bytes;
    }
    return 0;
  }

  /** Moves the text of one line to where it goes; returns where the next one does. */
  #put(data: Buffer, start: number, end: number, at: number): number {
    const mark = this.#skipping || this.#midLine || this.#options.timestamps ? 0 : this.#endOfTime(data, start);
    if (mark > 0 && data[mark + 7] === space && data[mark + 8] === full && data[mark + 9] === space && mark + markBytes < end) {
      data.copyWithin(at, mark + 1 + markBytes, end + 1);
      return at + end - mark - markBytes;
    }
    const entry = parseLogLine(data.subarray(start, end));
    if (!entry) return at;
    return at + this.entry(entry).copy(data, at);
  }
}

function isEndOfTime(data: Buffer, mark: number): boolean {
  const last = data[mark - 1] ?? 0;
  // `Z`, or the last digit of a zone.
  return data[mark] === space && (last === 0x5a || (last >= 0x30 && last <= 0x39));
}

/** Buffer's own `indexOf` leaves 60 bytes behind each time, and its `copy` 30: a megabyte of short lines left another of garbage. */
function endOfLine(data: Buffer, from: number): number {
  return Uint8Array.prototype.indexOf.call(data, lineFeed, from);
}
