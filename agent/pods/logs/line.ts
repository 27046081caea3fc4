/** One line of a CRI log file: `2026-01-01T00:00:00.000000000Z stdout F text`. */
export interface LogLine {
  readonly time: string;
  /** False for a piece of a line that goes on in the next entry (P). */
  readonly complete: boolean;
  readonly text: Buffer;
}

const space = 0x20;

/** Undefined for what is no CRI log entry, e.g. a line that a crash cut short. `line` has no line feed. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const afterTime = line.indexOf(space);
  const afterStream = afterTime < 0 ? -1 : line.indexOf(space, afterTime + 1);
  if (afterStream < 0) return undefined;
  const afterTags = line.indexOf(space, afterStream + 1);
  const tags = line.toString('latin1', afterStream + 1, afterTags < 0 ? line.length : afterTags);
  const time = line.toString('latin1', 0, afterTime);
  if (!/^\d{4}-\d\d-\d\dT/.test(time) || !/^[FP](:|$)/.test(tags)) return undefined;
  return { time, complete: tags.startsWith('F'), text: afterTags < 0 ? Buffer.alloc(0) : line.subarray(afterTags + 1) };
}

/** Milliseconds since the epoch. */
export function timeOf(line: LogLine): number {
  // Date.parse reads at most milliseconds reliably.
  return Date.parse(line.time.replace(/(\.\d{3})\d*/, '$1'));
}
