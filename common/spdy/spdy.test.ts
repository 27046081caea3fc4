import { duplexPair } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { constants, deflateSync } from 'node:zlib';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SpdyConnection, type SpdyStream } from './connection.ts';
import { headerDictionary } from './dictionary.ts';
import { FrameReader, dataHead, goAway, ping, rstStream, synReply, synStream, type SpdyFrame } from './frames.ts';
import { HeaderCodec } from './header-block.ts';

async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Both ends of a connection; the server's streams come in order. */
function connect(maxStreams = 10): { client: SpdyConnection; server: SpdyConnection; next: () => Promise<SpdyStream>; socket: ReturnType<typeof duplexPair>[0] } {
  const [near, far] = duplexPair();
  const streams: SpdyStream[] = [];
  let wake = (): void => undefined;
  const accept = (stream: SpdyStream): (() => void) | undefined => (stream.headers.get('streamtype') === 'unwanted' ? undefined : () => { streams.push(stream); wake(); });
  const next = async (): Promise<SpdyStream> => {
    for (;;) {
      const stream = streams.shift();
      if (stream) return stream;
      await new Promise<void>((resolve) => { wake = resolve; });
    }
  };
  return { client: new SpdyConnection(near, { role: 'client', maxStreams }), server: new SpdyConnection(far, { role: 'server', maxStreams, accept }), next, socket: near };
}

describe('header blocks', () => {
  it('have the dictionary of the specification', () => {
    const dictionary = headerDictionary();
    let [a, b] = [1, 0];
    for (const byte of dictionary) { a = (a + byte) % 65_521; b = (b + a) % 65_521; }
    expect([dictionary.length, (b * 65_536 + a).toString(16)]).toEqual([1423, 'e3c6a7c2']);
  });

  it('come back as they were, one after the other', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.dictionary(fc.stringMatching(/^[a-z0-9-]{1,20}$/), fc.string({ maxLength: 200 }), { maxKeys: 8 }), { maxLength: 5 }), async (blocks) => {
      const [sender, receiver] = [new HeaderCodec(), new HeaderCodec()];
      for (const block of blocks) {
        const headers = new Map(Object.entries(block));
        expect(await receiver.decode(await sender.encode(headers))).toEqual(headers);
      }
      sender.close();
      receiver.close();
    }), { numRuns: 50 });
  });

  it('are refused when they unpack to more than their limit, or are none', async () => {
    const bomb = deflateSync(Buffer.alloc(8 << 20), { dictionary: headerDictionary(), finishFlush: constants.Z_SYNC_FLUSH });
    await expect(new HeaderCodec().decode(bomb)).rejects.toMatchObject({ code: 'BadRequest' });
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (block) => {
      await new HeaderCodec().decode(block).catch((error: unknown) => { expect(error).toMatchObject({ code: 'BadRequest' }); });
    }), { numRuns: 100 });
  });
});

describe('frames', () => {
  const read = (chunks: readonly Uint8Array[]): SpdyFrame[] => {
    const reader = new FrameReader();
    return chunks.flatMap((chunk) => [...reader.push(chunk)]);
  };

  it('are the same however the bytes are cut', () => {
    const all = Buffer.concat([synStream(1, Buffer.from('block')), dataHead(1, 5, false), Buffer.from('hello'), synReply(1, Buffer.from('b')), ping(7), dataHead(1, 0, true), rstStream(3, 5), goAway(1)]);
    fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: all.length - 1 }), { maxLength: 20 }), (cuts) => {
      const points = [0, ...cuts.sort((x, y) => x - y), all.length];
      const frames = read(points.slice(1).map((end, i) => Buffer.from(all.subarray(points[i], end))));
      const data = frames.filter((frame) => frame.type === 'data');
      expect(Buffer.concat(data.map((frame) => frame.data)).toString()).toBe('hello');
      expect(data.filter(({ fin }) => fin)).toHaveLength(1);
      expect(frames.filter((frame) => frame.type !== 'data').map((frame) => frame.type)).toEqual(['syn-stream', 'syn-reply', 'ping', 'rst-stream', 'go-away']);
    }));
  });

  it('of arbitrary bytes are frames or a BadRequest, and little is held', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 10 }), (chunks) => {
      try {
        read(chunks);
      } catch (error) {
        expect(error).toMatchObject({ code: 'BadRequest' });
      }
    }), { numRuns: 500 });
    expect(() => read([Buffer.from([0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff])])).toThrow('control frame');
  });
});

describe('a connection', () => {
  it('carries streams both ways, and ends each direction on its own', async () => {
    const { client, next } = connect();
    const stream = await client.open(new Map([['streamtype', 'data'], ['port', '80']]));
    const other = await next();
    expect(other.headers).toEqual(new Map([['streamtype', 'data'], ['port', '80']]));
    const big = Buffer.alloc(3 << 20, 'abc');
    const write = stream.write(big).then(() => stream.end());
    expect((await bytesOf(other)).equals(big)).toBe(true);
    await write;
    await other.write(Buffer.from('answer'));
    await other.end();
    expect((await bytesOf(stream)).toString()).toBe('answer');
    client.close();
  });

  it('waits for a stream that nobody reads', async () => {
    const { client, next } = connect();
    const stream = await client.open(new Map([['streamtype', 'data']]));
    const other = await next();
    let written = 0;
    const write = (async () => {
      for (let i = 0; i < 100; i++) { await stream.write(Buffer.alloc(64 << 10)); written = i + 1; }
      await stream.end();
    })();
    for (let i = 0; i < 200; i++) await turn();
    expect(written).toBeLessThan(20);
    expect((await bytesOf(other)).length).toBe(100 << 16);
    await write;
    client.close();
  });

  it('refuses streams that are not wanted, and those above its limit', async () => {
    const { client, next } = connect(2);
    const unwanted = await client.open(new Map([['streamtype', 'unwanted']]));
    expect((await bytesOf(unwanted)).length).toBe(0);
    await expect(unwanted.write(Buffer.from('x'))).rejects.toThrow('closed');
    for (let i = 0; i < 2; i++) { await client.open(new Map([['streamtype', 'data']])); await next(); }
    expect((await bytesOf(await client.open(new Map([['streamtype', 'data']])))).length).toBe(0);
    client.close();
  });

  it('tells a stream that the other end gave it up', async () => {
    const { client, next } = connect();
    const stream = await client.open(new Map([['streamtype', 'data']]));
    const other = await next();
    const given = new Promise<void>((resolve) => { other.onReset = resolve; });
    stream.reset();
    await given;
    expect((await bytesOf(other)).length).toBe(0);
    client.close();
  });

  it('delivers all that was written before it was closed', async () => {
    const { client, server, next } = connect();
    const stream = await client.open(new Map([['streamtype', 'data']]));
    const other = await next();
    await other.write(Buffer.from('last words'));
    server.close();
    expect((await bytesOf(stream)).toString()).toBe('last words');
    await Promise.all([client.closed, server.closed]);
    await expect(stream.write(Buffer.from('x'))).rejects.toMatchObject({ code: 'ServiceUnavailable' });
  });

  it('answers pings', async () => {
    const { client, server, socket } = connect();
    client.close();
    await server.closed;
    expect(socket.writableEnded).toBe(true);
  });

  it('survives arbitrary bytes: it closes', async () => {
    await fc.assert(fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 500 }), { maxLength: 5 }), async (chunks) => {
      const [near, far] = duplexPair();
      const server = new SpdyConnection(far, { role: 'server', maxStreams: 3, accept: () => () => undefined });
      near.on('error', () => undefined);
      near.resume();
      for (const chunk of chunks) if (near.writable) near.write(chunk);
      near.end();
      await server.closed;
    }), { numRuns: 200 });
  });
});
