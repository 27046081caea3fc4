import type { LogEntry } from '../types.ts';
import type { Frame } from './frames.ts';

const lineFeed = 0x0a;
const space = 0x20;
/** Docker itself splits at 16 KiB. */
const maxEntryBytes = 1 << 20;

/** Docker's log with timestamps, entry by entry. One output's line may be cut over several frames, with the other's between. */
export async function* logEntries(source: AsyncIterable<Frame>): AsyncGenerator<LogEntry> {
  const rests: Record<Frame['stream'], Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  for await (const { stream, data: bytes } of source) {
    let data = rests[stream].length === 0 ? bytes : Buffer.concat([rests[stream], bytes]);
    for (let end = data.indexOf(lineFeed); end >= 0; end = data.indexOf(lineFeed)) {
      yield* entries(stream, data.subarray(0, end), true);
      data = data.subarray(end + 1);
    }
    if (data.length > maxEntryBytes) {
      yield* entries(stream, data, false);
      data = Buffer.alloc(0);
    }
    rests[stream] = data;
  }
  for (const stream of ['stdout', 'stderr'] as const) yield* entries(stream, rests[stream], false);
}

/**
 * A line, with its time before it. A line that Docker kept in pieces has a time before each: the later ones are taken
 * out, at the places where Docker cuts.
 */
function* entries(stream: LogEntry['stream'], line: Buffer, complete: boolean): Generator<LogEntry> {
  let rest = line;
  while (rest.length > 0) {
    const gap = rest.indexOf(space);
    const time = rest.toString('latin1', 0, Math.max(0, gap));
    if (!isTime(time)) return;
    const text = rest.subarray(gap + 1);
    if (text.length > pieceBytes && isTime(text.toString('latin1', pieceBytes, pieceBytes + timeBytes).split(' ')[0] ?? '')) {
      yield { time, stream, complete: false, text: text.subarray(0, pieceBytes) };
      rest = text.subarray(pieceBytes);
      continue;
    }
    yield { time, stream, complete, text };
    return;
  }
}

const pieceBytes = 16 << 10;
const timeBytes = '2026-01-01T00:00:00.000000000Z'.length + 1;

function isTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/.test(text);
}
