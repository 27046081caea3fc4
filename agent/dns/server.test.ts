import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { encode } from 'dns-packet';
import { afterEach, describe, expect, it } from 'vitest';
import { isStatus } from '#common/errors.ts';
import { exchange } from './exchange.ts';
import { DnsServer, type Respond } from './server.ts';

const signal = new AbortController().signal;
const open: DnsServer[] = [];
afterEach(() => { for (const server of open.splice(0)) server.close(); });

async function serve(respond: Respond): Promise<DnsServer> {
  for (let attempt = 1; ; attempt++) {
    const server = new DnsServer(respond, { address: '127.0.0.1', port: 0 });
    open.push(server);
    try {
      await server.open((error) => { throw error; });
      return server;
    } catch (error) {
      // What is free for UDP may be taken for TCP.
      if (attempt === 5 || !isStatus(error, 'Conflict')) throw error;
    }
  }
}

/** Answers every question with one address; `flags` are added. */
const one = (flags = 0): Respond => (message) => {
  const name = 'example.com';
  return encode({ type: 'response', id: message.readUInt16BE(0), flags, questions: [{ name, type: 'A' }], answers: [{ type: 'A', name, ttl: 5, data: '192.0.2.1' }] });
};

describe('a server and who asks it', () => {
  const question = { name: 'example.com', type: 'A' } as const;

  it('speak UDP', async () => {
    const { port } = await serve(one());
    expect(await exchange(`127.0.0.1:${String(port)}`, question, signal)).toMatchObject({ rcode: 0, answers: [{ data: '192.0.2.1' }] });
  });

  it('go on over TCP when the answer was cut', async () => {
    const seen: string[] = [];
    const { port } = await serve((message, transport, mayWait) => { seen.push(transport); return one(transport === 'udp' ? 0x200 : 0)(message, transport, mayWait); });
    expect(await exchange(`127.0.0.1:${String(port)}`, question, signal)).toMatchObject({ answers: [{ data: '192.0.2.1' }] });
    expect(seen).toEqual(['udp', 'tcp']);
  });

  it('go on without EDNS where that is not understood', async () => {
    const seen: number[] = [];
    const { port } = await serve((message, transport, mayWait) => { seen.push(message.readUInt16BE(10)); return one(message.readUInt16BE(10) > 0 ? 1 : 0)(message, transport, mayWait); });
    expect(await exchange(`127.0.0.1:${String(port)}`, question, signal)).toMatchObject({ rcode: 0, answers: [{ data: '192.0.2.1' }] });
    expect(seen).toEqual([1, 0]);
  });

  it('believe nobody who answers something else', async () => {
    const { port } = await serve((message) => encode({ type: 'response', id: message.readUInt16BE(0), questions: [{ name: 'evil.com', type: 'A' }] }));
    await expect(exchange(`127.0.0.1:${String(port)}`, question, AbortSignal.timeout(200))).rejects.toMatchObject({ name: 'TimeoutError' });
    // Nor asks it what nobody wants to know any more: it would wait for ever.
    await expect(exchange(`127.0.0.1:${String(port)}`, question, AbortSignal.abort(new Error('the agent has ended')))).rejects.toThrow('the agent has ended');
  });

  it('say at once when nobody listens', async () => {
    const server = await serve(one());
    const { port } = server;
    server.close();
    await expect(exchange(`127.0.0.1:${String(port)}`, question, signal)).rejects.toSatisfy((error) => isStatus(error, 'ServiceUnavailable'));
  });

  it('do not share a port with others', async () => {
    const taken = createSocket('udp4');
    taken.bind(0, '127.0.0.1');
    await once(taken, 'listening');
    const server = new DnsServer(one(), { address: '127.0.0.1', port: taken.address().port });
    await expect(server.open(() => undefined)).rejects.toMatchObject({ code: 'Conflict', message: expect.stringContaining('ss -lunp') as string });
    taken.close();
  });
});

it('answers many questions of one connection, in pieces of any size, and closes on one that gets no answer', async () => {
  const { port } = await serve((message) => (message.length < 12 ? undefined : Promise.resolve(message.subarray(0, 2))));
  const socket = connect(port, '127.0.0.1');
  const question = Buffer.concat([Buffer.from([0, 12]), Buffer.alloc(12, 7)]);
  const many = Buffer.concat(Array.from({ length: 100 }, () => question));
  const received: Buffer[] = [];
  socket.on('data', (chunk) => received.push(chunk));
  for (let at = 0; at < many.length; at += 333) socket.write(many.subarray(at, at + 333));
  while (Buffer.concat(received).length < 400) await once(socket, 'data');
  expect(Buffer.concat(received)).toEqual(Buffer.concat(Array.from({ length: 100 }, () => Buffer.from([0, 2, 7, 7]))));
  socket.write(Buffer.from([0, 1, 9]));
  await once(socket, 'close');
});
