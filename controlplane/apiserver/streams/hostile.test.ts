import { connect, type TLSSocket } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestServer } from '../test-server.ts';
import { FakeNodes } from './testing.ts';

const nodes = new FakeNodes();
let server: TestServer;
const path = '/api/v1/namespaces/default/pods/web';

beforeAll(async () => {
  server = await TestServer.start({ nodes });
  await server.ask('/api/v1/namespaces/default/pods', { method: 'POST', body: { metadata: { name: 'web' }, spec: { nodeName: 'node-1', containers: [{ name: 'main', image: 'x' }] } } });
});
afterAll(async () => { await server.stop(); });

/** Writes the parts one after the other, hangs up, and resolves with what came when the connection is over. */
async function send(...parts: (string | Uint8Array)[]): Promise<string> {
  const socket: TLSSocket = connect({ host: '127.0.0.1', port: server.port, ca: server.caPem, servername: 'localhost', ALPNProtocols: ['http/1.1'], ...server.admin });
  let text = '';
  socket.on('error', () => undefined).on('data', (chunk: Buffer) => { text += chunk.toString('latin1'); });
  const closed = new Promise((resolve) => { socket.once('close', resolve); });
  for (const part of parts) {
    if (socket.writable) socket.write(part);
    // The answer to the request comes first.
    for (let waits = 0; text === '' && !socket.closed && waits < 1000; waits++) await sleep(2);
  }
  socket.end();
  await Promise.race([closed, sleep(300)]);
  socket.destroy();
  await closed;
  return text;
}

const spdy = 'Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n';
const webSocket = (protocol: string): string => `Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: ${protocol}\r\n`;
const starts = [
  `POST ${path}/exec?command=cat&stdin=true HTTP/1.1\r\nHost: x\r\n${spdy}\r\n`,
  `POST ${path}/portforward HTTP/1.1\r\nHost: x\r\n${spdy.replace('v4.channel', 'portforward')}\r\n`,
  `GET ${path}/exec?command=cat&stdin=true HTTP/1.1\r\nHost: x\r\n${webSocket('v5.channel.k8s.io')}\r\n`,
  `GET ${path}/portforward HTTP/1.1\r\nHost: x\r\n${webSocket('SPDY/3.1+portforward.k8s.io')}\r\n`,
  `GET ${path}/portforward?ports=9 HTTP/1.1\r\nHost: x\r\n${webSocket('v4.channel.k8s.io')}\r\n`,
  `GET ${path}/log HTTP/1.1\r\nHost: x\r\n${webSocket('binary.k8s.io')}\r\n`,
];

it('arbitrary bytes in place of frames end the connection and nothing else', async () => {
  const frame = fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(
    new Uint8Array([0x80, 3, 0, 1, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]), new Uint8Array([0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1]),
    new Uint8Array([0, 0, 0, 1, 0, 255, 255, 255]), new Uint8Array([0x82, 0x81, 0, 0, 0, 0, 0]), new Uint8Array([0x82, 0x82, 0, 0, 0, 0, 255, 0]), new Uint8Array([0x88, 0x80, 0, 0, 0, 0]),
    new Uint8Array([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
  ));
  await fc.assert(fc.asyncProperty(fc.constantFrom(...starts), fc.array(frame, { maxLength: 4 }), async (start, frames) => {
    expect(await send(start, ...frames)).toMatch(/^HTTP\/1\.1 (101|200|400|403) /);
  }), { numRuns: 120 });
  expect((await server.ask('/healthz')).text).toBe('ok');
  for (const deadline = Date.now() + 10_000; nodes.open_ > 0;) {
    if (Date.now() > deadline) throw new Error(`${String(nodes.open_)} streams are left`);
    await sleep(10);
  }
}, 60_000);

it('arbitrary upgrades are answered with a Status, or as if none was asked for', async () => {
  const word = fc.oneof(fc.constantFrom('Upgrade', 'websocket', 'SPDY/3.1', 'h2c', 'keep-alive', 'v4.channel.k8s.io', ',', ''), fc.stringMatching(/^[!-~]{0,20}$/));
  const names = ['Connection', 'Upgrade', 'Sec-WebSocket-Version', 'Sec-WebSocket-Key', 'Sec-WebSocket-Protocol', 'X-Stream-Protocol-Version'];
  await fc.assert(fc.asyncProperty(fc.constantFrom('GET', 'POST'), fc.constantFrom('/exec?command=exit&command=0', '/attach', '/portforward', '/log', '', '/proxy/x'), fc.array(fc.tuple(fc.constantFrom(...names), word), { maxLength: 6 }), async (method, suffix, headers) => {
    const text = await send(`${method} ${path}${suffix} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 (101|200|301|4\d\d|503) /);
  }), { numRuns: 150 });
  expect((await server.ask('/healthz')).text).toBe('ok');
}, 60_000);
