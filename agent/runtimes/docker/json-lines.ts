import { StatusError } from '#common/errors.ts';

const lineFeed = 0x0a;
const maxLineBytes = 1 << 20;

/** JSON values, one a line, as they come. Lines that are no JSON are passed over. */
export async function* jsonLines<T>(source: AsyncIterable<Buffer>): AsyncGenerator<T> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    let data = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let end = data.indexOf(lineFeed); end >= 0; end = data.indexOf(lineFeed)) {
      const value = parsed<T>(data.subarray(0, end));
      if (value !== undefined) yield value;
      data = data.subarray(end + 1);
    }
    if (data.length > maxLineBytes) throw new StatusError('InternalError', `what answers is not Docker: a line of more than ${String(maxLineBytes)} bytes`);
    rest = data;
  }
  const last = parsed<T>(rest);
  if (last !== undefined) yield last;
}

function parsed<T>(line: Buffer): T | undefined {
  try {
    const value: unknown = JSON.parse(line.toString('utf8'));
    return typeof value === 'object' && value !== null ? value as T : undefined;
  } catch {
    return undefined;
  }
}
