import type { LogEntry } from '#agent/runtimes/types.ts';

const space = 0x20;

/** One line of a CRI log file: `2026-01-01T00:00:00.000000000Z stdout F text`. Undefined for what is no CRI log entry, e.g. a line that a crash cut short. `line` has no line feed. */
export function parseLogLine(line: Buffer): LogEntry | undefined {
  const afterTime = line.indexOf(space);
  const afterStream = afterTime < 0 ? -1 : line.indexOf(space, afterTime + 1);
  if (afterStream < 0) return undefined;
  const afterTags = line.indexOf(space, afterStream + 1);
  const tags = line.toString('latin1', afterStream + 1, afterTags < 0 ? line.length : afterTags);
  const time = line.toString('latin1', 0, afterTime);
  if (!/^\d{4}-\d\d-\d\dT/.test(time) || !/^[FP](:|$)/.test(tags)) return undefined;
  const stream = line.toString('latin1', afterTime + 1, afterStream) === 'stderr' ? 'stderr' : 'stdout';
  return { time, stream, complete: tags.startsWith('F'), text: afterTags < 0 ? Buffer.alloc(0) : line.subarray(afterTags + 1) };
}

/** Milliseconds since the epoch. */
export function timeOf(line: LogEntry): number {
  // Date.parse reads at most milliseconds reliably.
  return Date.parse(line.time.replace(/(\.\d{3})\d*/, '$1'));
}
