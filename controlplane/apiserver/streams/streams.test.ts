import { request as httpsRequest } from 'node:https';
import { createServer, type AddressInfo, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { SpdyConnection, type SpdyStream } from '#common/spdy/connection.ts';
import { TestServer } from '../test-server.ts';
import { FakeNodes, messageStream } from './testing.ts';

const pod = '/api/v1/namespaces/default/pods/web';
const nodes = new FakeNodes();
let server: TestServer;
let echo: Server;
let port: number;

beforeAll(async () => {
  server = await TestServer.start({ nodes });
  echo = createServer({ allowHalfOpen: true }, (socket) => { socket.on('error', () => undefined).pipe(socket); });
  await new Promise<void>((resolve) => { echo.listen(0, '127.0.0.1', resolve); });
  port = (echo.address() as AddressInfo).port;
  for (const [name, nodeName] of [['web', 'node-1'], ['lost', 'node-2'], ['unbound', undefined]]) {
    await server.ask('/api/v1/namespaces/default/pods', { method: 'POST', body: { metadata: { name }, spec: { ...(nodeName && { nodeName }), containers: [{ name: 'main', image: 'x' }, ...(name === 'lost' ? [{ name: 'side', image: 'x' }] : [])] } } });
  }
});
afterAll(async () => {
  await server.stop();
  echo.close();
});

/** What a user sees of a command. */
interface Outcome { stdout: string; stderr: string; status: string }

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 10_000; !condition();) {
    if (Date.now() > deadline) throw new Error('waited in vain');
    await sleep(5);
  }
}

function spdy(path: string, protocol: string | undefined): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const sent = httpsRequest({
      host: '127.0.0.1', port: server.port, ca: server.caPem, servername: 'localhost', ...server.admin, path, method: 'POST', agent: false,
      headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', ...(protocol !== undefined && { 'x-stream-protocol-version': protocol }) },
    });
    sent.once('upgrade', (answer, socket, head) => {
      expect(answer.headers['x-stream-protocol-version']).toBe(protocol?.split(',').at(-1));
      if (head.length > 0) socket.unshift(head);
      resolve(socket);
    });
    sent.once('response', (answer) => { reject(new Error(String(answer.statusCode))); });
    sent.once('error', reject);
    sent.end();
  });
}

/** The WebSocket of port-forward's second version, as a connection; the library's client refuses the name of its protocol. */
async function tunnel(path: string): Promise<Duplex> {
  const protocol = 'SPDY/3.1+portforward.k8s.io';
  const socket = await new Promise<Duplex>((resolve, reject) => {
    const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': Buffer.alloc(16).toString('base64'), 'sec-websocket-protocol': protocol };
    const sent = httpsRequest({ host: '127.0.0.1', port: server.port, ca: server.caPem, servername: 'localhost', ...server.admin, path, agent: false, headers });
    sent.once('upgrade', (answer, upgraded, head) => {
      expect(answer.headers['sec-websocket-protocol']).toBe(protocol);
      upgraded.unshift(head);
      resolve(upgraded);
    });
    sent.once('error', reject).end();
  });
  return messageStream(socket);
}

async function textOf(stream: AsyncIterable<Uint8Array> | undefined): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream ?? []) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function overSpdy(query: string, protocol: string | undefined, input?: (streams: Map<string, SpdyStream>) => Promise<void>): Promise<Outcome> {
  const connection = new SpdyConnection(await spdy(`${pod}/exec?${query}`, protocol), { role: 'client', maxStreams: 8 });
  const streams = new Map<string, SpdyStream>();
  const asked = new URLSearchParams(query);
  const tty = asked.get('tty') === 'true';
  const types = ['error', ...(asked.get('stdin') === 'true' ? ['stdin'] : []), 'stdout', ...(tty ? ['resize'] : ['stderr'])];
  for (const type of types) streams.set(type, await connection.open(new Map([['streamtype', type]])));
  const outputs = Promise.all(['stdout', 'stderr', 'error'].map((type) => textOf(streams.get(type))));
  await input?.(streams);
  const [stdout = '', stderr = '', status = ''] = await outputs;
  connection.close();
  return { stdout, stderr, status };
}

function webSocket(path: string, protocols: string[] = [], headers: Record<string, string> = {}, identity = true): WebSocket {
  return new WebSocket(`wss://127.0.0.1:${String(server.port)}${path}`, protocols, { ca: server.caPem, rejectUnauthorized: false, headers, ...(identity && server.admin) });
}

async function overWebSocket(query: string, protocol: string, input?: (socket: WebSocket, send: (channel: number, data: Uint8Array) => void) => void): Promise<Outcome> {
  const socket = webSocket(`${pod}/exec?${query}`, protocol === '' ? [] : [protocol]);
  const outcome: Outcome = { stdout: '', stderr: '', status: '' };
  const base64 = protocol.includes('base64');
  socket.on('message', (message: Buffer, binary: boolean) => {
    expect(binary).toBe(!base64);
    const channel = base64 ? Number(message.toString('latin1', 0, 1)) : message[0] ?? -1;
    const text = base64 ? Buffer.from(message.toString('latin1', 1), 'base64').toString() : message.toString('utf8', 1);
    const name = (['stdin', 'stdout', 'stderr', 'status'] as const)[channel];
    if (name === undefined || name === 'stdin') throw new Error(`bytes for channel ${String(channel)}`);
    outcome[name] += text;
  });
  await new Promise((resolve, reject) => { socket.once('open', resolve).once('error', reject); });
  expect(socket.protocol).toBe(protocol);
  input?.(socket, (channel, data) => { socket.send(base64 ? String(channel) + Buffer.from(data).toString('base64') : Buffer.concat([Buffer.of(channel), data])); });
  const code = await new Promise((resolve) => { socket.once('close', resolve); });
  expect(code).toBe(1000);
  return outcome;
}

const exit3 = { status: 'Failure', reason: 'NonZeroExitCode', details: { causes: [{ reason: 'ExitCode', message: '3' }] } };

describe('exec over SPDY', () => {
  it.each(['v4.channel.k8s.io', 'v5.channel.k8s.io,v4.channel.k8s.io'])('%s: output apart, and the exit code as a Status', async (protocol) => {
    const { stdout, stderr, status } = await overSpdy('command=exit&command=3&stdout=true&stderr=true', protocol);
    expect([stdout, stderr]).toEqual(['out', 'err']);
    expect(JSON.parse(status)).toMatchObject(exit3);
  });
  it.each(['v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io', undefined])('%s: a failure in words', async (protocol) => {
    expect(await overSpdy('command=exit&command=3', protocol)).toEqual({ stdout: 'out', stderr: 'err', status: 'command terminated with non-zero exit code: exit status 3' });
    expect((await overSpdy('command=exit&command=0', protocol)).status).toBe('');
  });
  it('gives a command its input to the end', async () => {
    const input = async (streams: Map<string, SpdyStream>): Promise<void> => {
      for (let i = 0; i < 50; i++) await streams.get('stdin')?.write(Buffer.alloc(100_000));
      await streams.get('stdin')?.end();
    };
    expect((await overSpdy('command=count&stdin=true', 'v4.channel.k8s.io', input)).stdout).toBe('5000000');
  });
  it('tells a terminal its size', async () => {
    const size = '{"Width":80,"Height":24}\n';
    expect((await overSpdy('command=size&tty=true', 'v4.channel.k8s.io', async (streams) => { await streams.get('resize')?.write(Buffer.from(size)); })).stdout).toBe(size);
  });
});

describe('exec over WebSockets', () => {
  it.each(['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io'])('%s: output apart, and the exit code as a Status', async (protocol) => {
    const { stdout, stderr, status } = await overWebSocket('command=exit&command=3&stdout=true&stderr=true', protocol);
    expect([stdout, stderr]).toEqual(['out', 'err']);
    expect(JSON.parse(status)).toMatchObject(exit3);
  });
  it.each(['channel.k8s.io', 'base64.channel.k8s.io', ''])('%s: a failure in words', async (protocol) => {
    expect((await overWebSocket('command=exit&command=3', protocol)).status).toBe('command terminated with non-zero exit code: exit status 3');
  });
  it('version 5 can close the input', async () => {
    const outcome = await overWebSocket('command=cat&stdin=true', 'v5.channel.k8s.io', (_socket, send) => {
      for (let i = 0; i < 100; i++) send(0, Buffer.alloc(50_000, 'a'));
      send(255, Buffer.of(0));
    });
    expect(outcome.stdout.length).toBe(5_000_000);
  });
  it('what makes no sense is passed over', async () => {
    const outcome = await overWebSocket('command=cat&stdin=true', 'v5.channel.k8s.io', (socket, send) => {
      socket.send(Buffer.alloc(0));
      send(77, Buffer.from('x'));
      send(1, Buffer.from('x'));
      send(255, Buffer.of(9));
      send(255, Buffer.alloc(0));
      send(0, Buffer.from('sense'));
      send(255, Buffer.of(0));
    });
    expect(outcome.stdout).toBe('sense');
  });
  it('a token may come as a protocol, for browsers', async () => {
    const token = `base64url.bearer.authorization.k8s.io.${Buffer.from('secret-token').toString('base64url')}`;
    const socket = webSocket(`${pod}/exec?command=exit&command=0`, [token, 'v4.channel.k8s.io'], {}, false);
    await new Promise((resolve, reject) => { socket.once('close', resolve).once('error', reject); });
    expect(socket.protocol).toBe('v4.channel.k8s.io');
    const refused = webSocket(`${pod}/exec?command=exit&command=0`, ['v4.channel.k8s.io'], { authorization: 'Bearer weak-token' }, false);
    await expect(new Promise((resolve, reject) => { refused.once('open', resolve).once('error', reject); })).rejects.toThrow('403');
  });
});

describe('a stream', () => {
  it('slows the program when its user does not read, and ends it when the user goes', async () => {
    const socket = webSocket(`${pod}/exec?command=yes`, ['v5.channel.k8s.io']);
    await new Promise((resolve) => { socket.once('open', resolve); });
    socket.pause();
    let before = -1;
    await until(() => { const still = nodes.written === before && before > 0; before = nodes.written; return still; });
    expect(nodes.written).toBeLessThan(32 << 20);
    socket.terminate();
    await until(() => nodes.open_ === 0);
  });
  it('that breaks on the node says so', async () => {
    expect(JSON.parse((await overWebSocket('command=crash', 'v4.channel.k8s.io')).status)).toMatchObject({ status: 'Failure', message: 'node node-1 went away', code: 503 });
  });
  it('attach: the program itself', async () => {
    const socket = webSocket(`${pod}/attach?stdin=true`, ['v5.channel.k8s.io']);
    await new Promise((resolve) => { socket.once('open', resolve); });
    socket.send(Buffer.from('\0hello'));
    const text = await new Promise((resolve) => { socket.on('message', (message: Buffer) => { if (message.length > 1) resolve(message.toString()); }); });
    expect(text).toBe('\u0001hello');
    socket.close();
    await until(() => nodes.open_ === 0);
  });

  const upgrade = { connection: 'Upgrade', upgrade: 'SPDY/3.1' };
  it.each([
    ['/web/exec?command=true', {}, 400, 'Upgrade request required'],
    ['/web/exec', upgrade, 400, 'you must specify at least 1 command for the container'],
    ['/web/exec?command=true&stdout=false&stderr=false', upgrade, 400, 'you must specify at least 1 of stdin, stdout, stderr'],
    ['/web/exec?command=true&container=other', upgrade, 400, 'container other is not valid for pod web'],
    ['/web/exec?command=missing', { ...upgrade, 'x-stream-protocol-version': 'v4.channel.k8s.io' }, 404, 'container not found ("main")'],
    ['/web/exec?command=true', { ...upgrade, 'x-stream-protocol-version': 'v9' }, 403, 'unable to upgrade: unable to negotiate protocol: client supports [v9], server supports [v4.channel.k8s.io v3.channel.k8s.io v2.channel.k8s.io channel.k8s.io]'],
    ['/absent/exec?command=true', upgrade, 404, 'pods "absent" not found'],
    ['/unbound/exec?command=true', upgrade, 400, 'pod unbound does not have a host assigned'],
    ['/unbound/portforward', upgrade, 400, 'pod unbound does not have a host assigned'],
    ['/lost/exec?command=true&container=main', upgrade, 503, 'node node-2 is not connected'],
    ['/lost/attach', upgrade, 400, 'a container name must be specified for pod lost, choose one of: [main side]'],
  ])('is refused with a Status: %s', async (path, headers, code, message) => {
    const answer = await server.ask(`/api/v1/namespaces/default/pods${path}`, { method: 'POST', headers });
    expect(answer.json()).toMatchObject({ kind: 'Status', code, message });
  });
  it('is for those who may', async () => {
    const answer = await server.ask(`${pod}/exec?command=true`, { method: 'POST', headers: { ...upgrade, authorization: 'Bearer weak-token' }, identity: 'none' });
    expect(answer.json()).toMatchObject({ code: 403, message: 'pods "web" is forbidden: User "jane" cannot create resource "pods/exec" in API group "" in the namespace "default"' });
    expect((await server.ask(`${pod}/exec?command=true`, { method: 'DELETE' })).status).toBe(405);
  });
  it('that is never begun leaves nothing', async () => {
    const socket = await spdy(`${pod}/exec?command=yes`, 'v4.channel.k8s.io');
    socket.destroy();
    await until(() => nodes.open_ === 0);
  });
});

describe('port-forward', () => {
  const pair = async (connection: SpdyConnection, to: number, id: string): Promise<[SpdyStream, SpdyStream]> => {
    const headers = (type: string): Map<string, string> => new Map([['streamtype', type], ['port', String(to)], ['requestid', id]]);
    const error = await connection.open(headers('error'));
    await error.end();
    return [await connection.open(headers('data')), error];
  };
  const exchange = async (socket: Duplex): Promise<void> => {
    const connection = new SpdyConnection(socket, { role: 'client', maxStreams: 64 });
    await Promise.all(Array.from({ length: 10 }, (_, i) => i).map((i) => (async () => {
      const [data, error] = await serial(() => pair(connection, port, String(i)));
      const text = `hello ${String(i)} `.repeat(20_000);
      const write = data.write(Buffer.from(text)).then(() => data.end());
      expect(await textOf(data)).toBe(text);
      expect(await textOf(error)).toBe('');
      await write;
    })()));
    const [refused, error] = await pair(connection, 9, 'x');
    expect(await textOf(error)).toMatch(/^error forwarding port 9 to pod web, uid \S+: connection refused$/);
    expect(await textOf(refused)).toBe('');
    connection.close();
    await until(() => nodes.open_ === 0);
  };
  /** Streams of one connection are opened one at a time. */
  let last: Promise<unknown> = Promise.resolve();
  const serial = <T>(work: () => Promise<T>): Promise<T> => {
    const next = last.then(work);
    last = next;
    return next;
  };

  it('carries many connections over SPDY', async () => {
    await exchange(await spdy(`${pod}/portforward`, 'portforward.k8s.io'));
  });
  it('and over SPDY inside of a WebSocket', async () => {
    await exchange(await tunnel(`${pod}/portforward`));
  });
  it('and each port by two channels of a WebSocket', async () => {
    const socket = webSocket(`${pod}/portforward?ports=${String(port)}&ports=9`, ['v4.channel.k8s.io']);
    const received = [0, 1, 2, 3].map(() => Buffer.alloc(0));
    socket.on('message', (message: Buffer) => { const channel = message[0] ?? 0; received[channel] = Buffer.concat([received[channel] ?? Buffer.alloc(0), message.subarray(1)]); });
    await new Promise((resolve) => { socket.once('open', resolve); });
    socket.send(Buffer.from('\0ping'));
    await until(() => received[0]?.toString('latin1', 2) === 'ping' && (received[3]?.length ?? 0) > 2);
    expect(received.map((bytes) => bytes.readUInt16LE(0))).toEqual([port, port, 9, 9]);
    expect(received[3]?.toString('utf8', 2)).toContain('connection refused');
    socket.close();
    await until(() => nodes.open_ === 0);
  });
});

describe('logs and watches over WebSockets', () => {
  it.each([['', 'first line\nsecond line\n'], ['binary.k8s.io', 'first line\nsecond line\n'], ['base64.binary.k8s.io', 'Zmlyc3QgbGluZQo=c2Vjb25kIGxpbmUK']])('a log as %s', async (protocol, expected) => {
    const socket = webSocket(`${pod}/log`, protocol === '' ? [] : [protocol]);
    let text = '';
    socket.on('message', (message: Buffer) => { text += message.toString(); });
    await new Promise((resolve, reject) => { socket.once('close', resolve).once('error', reject); });
    expect(text).toBe(expected);
  });
  it('a watch: one message an event', async () => {
    const socket = webSocket('/api/v1/namespaces/default/pods?watch=true&fieldSelector=metadata.name%3Dweb');
    const first = await new Promise<string>((resolve, reject) => { socket.once('message', (message: Buffer) => { resolve(message.toString()); }).once('error', reject); });
    expect(JSON.parse(first)).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'web' } } });
    socket.close();
  });
});
