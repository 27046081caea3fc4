/** What came out of a container without a terminal: which output, and bytes of it. */
export interface Frame { readonly stream: 'stdout' | 'stderr'; readonly data: Buffer }

const headerBytes = 8;

/** Takes Docker's multiplexed outputs apart; a frame is handed on in pieces as they come, so that none is held whole. */
export async function* frames(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let header: Buffer = Buffer.alloc(0);
  let stream: Frame['stream'] = 'stdout';
  let left = 0;
  for await (let chunk of source) {
    while (chunk.length > 0) {
      if (left === 0) {
        const missing = headerBytes - header.length;
        header = Buffer.concat([header, chunk.subarray(0, missing)]);
        chunk = chunk.subarray(missing);
        if (header.length < headerBytes) break;
        stream = header[0] === 2 ? 'stderr' : 'stdout';
        left = header.readUInt32BE(4);
        header = Buffer.alloc(0);
        continue;
      }
      const data = chunk.subarray(0, left);
      left -= data.length;
      chunk = chunk.subarray(data.length);
      yield { stream, data };
    }
  }
}

/** The one output of a terminal, as frames. */
export async function* plainFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  for await (const data of source) yield { stream: 'stdout', data };
}
