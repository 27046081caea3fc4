import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import * as http2 from 'node:http2';
import { connect as connectTcp, type AddressInfo } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { configMaps } from '#api/kinds/resources.ts';
import { silentLog } from '#common/log.ts';
import { issueCertificate, makeCaCertificate, makeKey } from '#common/pki/certificate.ts';
import { TestServer, type Identity } from '../test-server.ts';
import { Listener } from './listener.ts';
import { sendReply } from './reply.ts';

/** What strangers and broken clients do to a server on a network. */
let server: TestServer;
/** Patient for a third of a second only. */
let hasty: Listener;
beforeAll(async () => {
  server = await TestServer.start();
  server.api.addCheck('readyz', 'sometimes', () => { if (broken) throw new Error('the disk of db-7 is full'); });
  hasty = new Listener({ log: silentLog, handle: (_, response) => { response.end('ok'); } }, {
    port: 0, bindAddress: '127.0.0.1', tlsKey: server.serving.key, tlsCertificate: server.serving.cert, clientCa: server.caPem,
    maxHeaderBytes: 16 << 10, maxConnections: 100, handshakeTimeoutMs: 300, requestTimeoutMs: 600, idleTimeoutMs: 400, agentServerName: 'agents',
  });
  await hasty.listen();
});
afterAll(async () => { await hasty.close(); await server.stop(); });
let broken = false;

async function open(port: number, protocol: string): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, ca: server.caPem, servername: 'localhost', ALPNProtocols: [protocol], ...server.admin });
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  return socket;
}

describe('connections', () => {
  it.each([
    ['http/1.1', 'that say nothing', ''],
    ['http/1.1', 'that send a header byte by byte', 'GET / HTTP/1.1\r\nX-Slow: '],
    ['http/1.1', 'that send a body byte by byte', 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n'],
    ['h2', 'that say nothing', ''],
    ['h2', 'that begin and say no more', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0'],
  ])('%s %s are closed', async (protocol, _, bytes) => {
    const socket = await open(hasty.port, protocol);
    const closed = once(socket.resume(), 'close');
    if (bytes !== '') socket.write(bytes, 'latin1');
    const drip = setInterval(() => { if (protocol !== 'h2' && bytes !== '') socket.write('a'); }, 40);
    await closed;
    clearInterval(drip);
  });

  it('of plain TCP that never begin TLS are closed', async () => {
    const socket = connectTcp(hasty.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket.resume(), 'close');
  });

  it('that have asked and ask no more are closed without an error, and not while a request is under way', async () => {
    const session = http2.connect(`https://127.0.0.1:${String(hasty.port)}`, { ca: server.caPem, servername: 'localhost' });
    const errors: unknown[] = [];
    session.on('error', (error) => { errors.push(error); });
    await once(session.request({ ':path': '/' }).resume(), 'end');
    await once(session, 'close');
    expect(errors).toEqual([]);
  });

  it('of who asks and takes back, again and again, leave the server well', async () => {
    const session = server.http2();
    for (let i = 0; i < 3000 && !session.destroyed; i++) {
      const stream = session.request({ ':path': '/api/v1/pods' });
      stream.on('error', () => undefined);
      stream.close(http2.constants.NGHTTP2_CANCEL);
      if (i % 100 === 0) await new Promise((resolve) => { setImmediate(resolve); });
    }
    expect((await server.ask('/readyz')).text).toBe('ok');
    session.destroy();
  });

  it('with more headers than anyone needs are refused', async () => {
    const flood = await server.ask('/version', { headers: { 'x-flood': 'x'.repeat(70_000) } });
    expect(flood.json()).toMatchObject({ kind: 'Status', code: 431 });
    const session = server.http2();
    const stream = session.request({ ':path': '/version', ...Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`x-${String(i)}`, 'x'.repeat(2000)])) });
    await expect(Promise.race([once(stream, 'response').then(([headers]) => Number((headers as Record<string, unknown>)[':status'])), once(stream, 'close').then(() => 431)]).catch(() => 431)).resolves.toBeGreaterThan(399);
    session.destroy();
    expect((await server.ask('/readyz')).text).toBe('ok');
  });
});

describe('bodies', () => {
  it('are sent at once by a client that asks whether it may', async () => {
    const socket = await open(server.port, 'http/1.1');
    const body = JSON.stringify({ metadata: { name: 'expected' } });
    socket.setEncoding('utf8');
    let text = '';
    socket.on('data', (chunk: string) => { text += chunk; });
    socket.write(`POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: ${String(body.length)}\r\n\r\n`);
    await vi.waitFor(() => { expect(text).toContain('HTTP/1.1 100 Continue'); });
    socket.write(body);
    await vi.waitFor(() => { expect(text).toContain('HTTP/1.1 201 Created'); });
    socket.destroy();
  });

  it('are not asked for when they are not wanted', async () => {
    const socket = await open(server.port, 'http/1.1');
    socket.setEncoding('utf8');
    socket.write('POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 99000000\r\n\r\n');
    const [text] = await once(socket, 'data') as [string];
    expect(text).toMatch(/^HTTP\/1\.1 413 /);
    socket.destroy();
  });

  it('of YAML have a limit of their own, and JSON called YAML is JSON', async () => {
    const url = '/api/v1/namespaces/default/configmaps';
    const headers = { 'content-type': 'application/yaml' };
    const big = 'x'.repeat(900_000);
    expect((await server.ask(url, { method: 'POST', headers, body: `metadata: {name: big}\ndata:\n${'  # nothing\n'.repeat(100_000)}` })).status).toBe(413);
    expect((await server.ask(url, { method: 'POST', headers, body: JSON.stringify({ metadata: { name: 'json-in-yaml' }, data: { big } }) })).status).toBe(201);
    expect((await server.ask(url, { method: 'POST', headers, body: '{metadata: {name: flow}, data: {a: b}}' })).status).toBe(201);
  });

  it('that nobody reads are given up', async () => {
    let ended = false;
    const web = createServer((_request, response) => { void sendReply(response, { status: 200, contentType: 'text/plain', body: Buffer.alloc(32 << 20) }, false, 200).then(() => { ended = true; }); });
    web.listen(0, '127.0.0.1');
    await once(web, 'listening');
    const socket = connectTcp((web.address() as AddressInfo).port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    socket.pause();
    await vi.waitFor(() => { expect(ended).toBe(true); }, { timeout: 5000 });
    socket.destroy();
    web.close();
  });
});

describe('watchers', () => {
  it('that never read cost no memory', async () => {
    const client = server.api.client({ name: 'admin', groups: ['system:masters'] });
    const sessions = Array.from({ length: 4 }, () => server.http2());
    const streams = sessions.flatMap((session) => Array.from({ length: 10 }, () => session.request({ ':path': '/api/v1/configmaps?watch=1&resourceVersion=' + String(server.store.revision) })));
    for (const stream of streams) stream.on('error', () => undefined);
    await Promise.all(streams.map((stream) => once(stream, 'response')));
    const before = process.memoryUsage.rss();
    await client.create(configMaps, { metadata: { name: 'loud', namespace: 'default' } });
    for (let i = 0; i < 60; i++) await client.patch(configMaps, 'default', 'loud', 'merge', { data: { text: String(i).padEnd(256 << 10, 'x') } });
    // 40 readers times 15 MB would be 600 MB.
    expect(process.memoryUsage.rss() - before).toBeLessThan(250 << 20);
    expect((await server.ask('/readyz')).text).toBe('ok');
    for (const session of sessions) session.destroy();
  }, 30_000);
});

describe('identities', () => {
  const masters = { commonName: 'admin', organizations: ['system:masters'] };
  const day = 86_400_000;
  function foreign(name = 'test-ca'): Identity {
    const caKey = makeKey();
    const certPem = makeCaCertificate(caKey, name, Date.now(), day);
    const key = makeKey();
    const ca = { certPem, certificate: new X509Certificate(certPem), key: createPrivateKey(caKey) };
    return { key, cert: issueCertificate(ca, { subject: masters, usage: 'client', publicKey: createPublicKey(key), nowMs: Date.now(), lifetimeMs: day }) };
  }

  it('of another CA, also one of the same name, are nobody', async () => {
    for (const identity of [foreign(), foreign('other')]) {
      expect((await server.ask('/api/v1/pods', { identity })).status).toBe(401);
      // As with Kubernetes: a good token counts all the same.
      expect((await server.ask('/api/v1/pods', { identity, headers: { authorization: 'Bearer secret-token' } })).status).toBe(200);
    }
  });

  it('that are CAs themselves, or made for servers, are nobody', async () => {
    const key = makeKey();
    expect((await server.ask('/api/v1/pods', { identity: { key, cert: makeCaCertificate(key, 'admin', Date.now(), day) } })).status).toBe(401);
    expect((await server.ask('/api/v1/pods', { identity: server.serving })).status).toBe(401);
  });

  it.each(['Bearer', 'Bearer ', 'bearer secret-token x', 'Basic c2VjcmV0LXRva2Vu', 'Bearer secret-tokem', 'Bearer constructor', `Bearer ${'x'.repeat(10_000)}`])('of the authorization %s are nobody', async (authorization) => {
    expect((await server.ask('/api/v1/pods', { identity: 'none', headers: { authorization } })).status).toBe(401);
  });

  it('of strangers learn that a check fails, and not why', async () => {
    broken = true;
    expect((await server.ask('/readyz', { identity: 'none' })).text).toBe('[+]ping ok\n[+]log ok\n[+]etcd ok\n[+]etcd-readiness ok\n[+]informer-sync ok\n[+]shutdown ok\n[-]sometimes failed: reason withheld\nreadyz check failed\n');
    expect((await server.ask('/readyz')).text).toContain('the disk of db-7 is full');
    broken = false;
  });

  it('of agents do not reach the API by the agents\' name', async () => {
    const session = http2.connect(`https://127.0.0.1:${String(server.port)}`, { ca: server.caPem, servername: 'agents.cleat.internal' });
    session.on('error', () => undefined);
    await once(session, 'close');
  });
});

describe('paths', () => {
  const secrets = '/api/v1/namespaces/kube-system/secrets';
  it.each(['%2e%2e', '..%2f..', '%2E%2E%2Fsecrets', 'a%00b', '%', '%c0%ae%c0%ae', '%252e%252e', '..;', 'a\\b', 'A', '%0d%0aX: y', '__proto__', 'constructor'])('with the name %s find nothing', async (name) => {
    const answer = await server.ask(`/api/v1/namespaces/default/configmaps/${name.replaceAll(' ', '%20').replaceAll('\\', '%5c')}`);
    expect([400, 404]).toContain(answer.status);
    expect(answer.json()).toMatchObject({ kind: 'Status' });
  });

  it.each([`//api/v1/pods`, `/api//v1/pods`, `/api/v1/namespaces/default/../kube-system/secrets`, `/./api/v1/pods`, `/api/v1/namespaces//pods`, `/API/v1/pods`, `${secrets}/..`])('%s is nothing that a rule could mistake', async (path) => {
    expect((await server.ask(path)).status).toBe(404);
  });

  it('of resources are judged as what they serve', async () => {
    const jane = { identity: 'none', headers: { authorization: 'Bearer weak-token' } } as const;
    for (const path of [secrets, `${secrets}/`, `${secrets}/x/`, `${secrets}?watch=1`, `${secrets}?watch=true&x`, `/api/v1/secrets`, `https://elsewhere${secrets}`]) expect([403, 404]).toContain((await server.ask(path, jane)).status);
  });
});
