import { createPrivateKey, createPublicKey, hash, X509Certificate } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { Agent, createServer, request, type IncomingHttpHeaders, type Server } from 'node:http';
import { connect, createServer as createHttp2Server, type ClientHttp2Session, type Http2Server } from 'node:http2';
import { request as requestTls } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { Client, credentials, Server as GrpcServer, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EndpointSlice, Ingress, IngressSpec, Service } from '#api/gen/types.ts';
import { ingressCertificates } from '#api/ingress/ingress.ts';
import { endpointSlices, ingresses, services } from '#api/kinds/resources.ts';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { issueCertificate, makeCaCertificate, makeKey } from '#common/pki/certificate.ts';
import type { AgentEvent } from '#agent/session/types.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import { MemoryState } from '#test/support/memory-state.ts';
import { Gateway, gatewayDefaults } from './gateway.ts';
import { Haproxy } from './haproxy.ts';

const day = 86_400_000;
const caKey = makeKey();
const caPem = makeCaCertificate(caKey, 'test', Date.now(), 10 * day);
const ca = { certPem: caPem, certificate: new X509Certificate(caPem), key: createPrivateKey(caKey) };

interface Answer { readonly status: number; readonly body: string; readonly headers: IncomingHttpHeaders }

/** A real HAProxy on loopback, and web servers that answer with their names. */
describe('the gateway', () => {
  const state = new MemoryState();
  const events: AgentEvent[] = [];
  const dir = mkdtempSync(join(tmpdir(), 'cleat-ingress-'));
  const servers: (Server | Http2Server)[] = [];
  const ends: (() => Promise<void>)[] = [];
  let serving = false;
  let [httpPort, httpsPort] = [0, 0];

  const listen = async (server: Server | Http2Server): Promise<number> => {
    servers.push(server);
    await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    return (server.address() as AddressInfo).port;
  };
  const freePort = async (): Promise<number> => {
    const server = createServer();
    const port = await listen(server);
    await new Promise((resolve) => server.close(resolve));
    return port;
  };
  const web = async (name: string): Promise<number> => listen(createServer((incoming, response) => { response.end(JSON.stringify({ name, headers: incoming.headers })); }).on('upgrade', ({ headers }, socket) => {
    // RFC 6455: the proxy checks it where clients come by HTTP/2.
    const accept = hash('sha1', `${String(headers['sec-websocket-key'])}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`, 'base64');
    socket.on('error', () => undefined).write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.pipe(socket);
  }));
  const expose = (name: string, ports: readonly number[], appProtocol?: string): void => {
    state.set<Service>(services, { metadata: { namespace: 'default', name }, spec: { ports: [{ port: 80, ...(appProtocol !== undefined && { appProtocol }) }], ipFamilies: ['IPv4'] } });
    state.set<EndpointSlice>(endpointSlices, ...ports.map((port, i): EndpointSlice => ({ metadata: { namespace: 'default', name: `${name}-${String(i)}`, labels: { 'kubernetes.io/service-name': name } }, addressType: 'IPv4', ports: [{ port }], endpoints: [{ addresses: ['127.0.0.1'] }] })));
  };
  const apply = (name: string, spec: IngressSpec, annotations?: Record<string, string>): void => { state.set<Ingress>(ingresses, { metadata: { namespace: 'default', name, uid: name, annotations }, spec }); };
  const rule = (host: string, path: string, name: string, pathType = 'Prefix') => ({ host, http: { paths: [{ path, pathType, backend: { service: { name, port: { number: 80 } } } }] } });
  const certify = (secretName: string, host: string): void => {
    const key = makeKey();
    const certificate = issueCertificate(ca, { subject: { commonName: host }, publicKey: createPublicKey(key), usage: 'server', names: [host], nowMs: Date.now(), lifetimeMs: day });
    state.set(ingressCertificates, { metadata: { namespace: 'default', name: secretName }, certificate: Buffer.from(certificate).toString('base64'), key: Buffer.from(key).toString('base64') });
  };
  const ask = (host: string, path = '/', agent?: Agent, method = 'GET'): Promise<Answer> => new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port: httpPort, path, method, headers: { host }, ...(agent && { agent }) }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => { body += chunk; }).on('end', () => { resolve({ status: response.statusCode ?? 0, body, headers: response.headers }); }).on('error', reject);
    }).on('error', reject).end();
  });
  const nameAt = async (host: string, path?: string): Promise<string> => {
    const { status, body } = await ask(host, path).catch((error: unknown) => ({ status: 0, body: String(error) }));
    return status === 200 ? (JSON.parse(body) as { name: string }).name : String(status);
  };
  /** By HTTP/2 over TLS: what answers, with what protocol and whose certificate. */
  const askTls = (host: string, path = '/'): Promise<{ readonly protocol: string; readonly certified: string; readonly body: string; readonly trailers: Record<string, unknown> }> => new Promise((resolve, reject) => {
    const session = connect(`https://127.0.0.1:${String(httpsPort)}`, { servername: host, ca: caPem, checkServerIdentity: () => undefined });
    session.on('error', reject);
    const stream = session.request({ ':path': path, ':authority': host });
    let body = '';
    let trailers: Record<string, unknown> = {};
    stream.setEncoding('utf8').on('trailers', (sent) => { trailers = sent; }).on('data', (chunk: string) => { body += chunk; }).on('error', reject).on('end', () => {
      const socket = session.socket as unknown as TLSSocket;
      resolve({ protocol: String(session.alpnProtocol), certified: String(socket.getPeerCertificate().subject.CN), body, trailers });
      session.close();
    });
    stream.end();
  });
  const run = (): (() => Promise<void>) => {
    const stop = new AbortController();
    const proxy = new Haproxy({ clock: systemClock, log: silentLog }, { dir, httpPort, httpsPort, searchPath: process.env['PATH'] ?? '' });
    const ended = new Gateway({ state, proxy, events: { emit: (event) => { events.push(event); } }, served: (now) => { serving = now; }, clock: systemClock, log: silentLog, random: Math.random }, { ...gatewayDefaults, checkIntervalMs: 200, nodeName: 'n' }).start(stop.signal);
    const end = async (): Promise<void> => { stop.abort(); await ended; };
    ends.push(end);
    return end;
  };
  const master = async (): Promise<string> => (await readFile(join(dir, 'pid'), 'utf8').catch(() => '')).trim();

  beforeAll(async () => {
    [httpPort, httpsPort] = [await freePort(), await freePort()];
    expose('a', [await web('a')]);
    expose('b', [await web('b')]);
    apply('first', { rules: [rule('a.test', '/', 'a'), rule('a.test', '/b', 'b'), rule('*.wild.test', '/exact', 'b', 'Exact')] });
    run();
  });

  afterAll(async () => {
    for (const end of ends) await end();
    await new Haproxy({ clock: systemClock, log: silentLog }, { dir, httpPort, httpsPort, searchPath: '' }).stop(new AbortController().signal);
    for (const server of servers) server.close();
    await rm(dir, { recursive: true, force: true });
  });

  it('sends requests where hosts and paths say', async () => {
    await expect.poll(() => [serving, events]).toEqual([true, []]);
    expect(await Promise.all([nameAt('a.test'), nameAt('A.test:80', '/bb'), nameAt('a.test', '/b'), nameAt('a.test', '/b/c?q=/'), nameAt('x.wild.test', '/exact'), nameAt('x.wild.test', '/exact/'), nameAt('x.y.wild.test', '/exact'), nameAt('other.test')]))
      .toEqual(['a', 'a', 'b', 'b', 'b', '404', '404', '404']);
    const { headers } = JSON.parse((await ask('a.test')).body) as { headers: Record<string, string> };
    expect(headers).toMatchObject({ 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http', 'x-forwarded-host': 'a.test' });
  });

  it('serves TLS by name, with HTTP/2 down to a gRPC server and its trailers; keys are in memory, for root only', async () => {
    const grpc = createHttp2Server();
    grpc.on('stream', (stream) => {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
      stream.on('wantTrailers', () => { stream.sendTrailers({ 'grpc-status': '0' }); });
      stream.end('grpc');
    });
    expose('grpc', [await listen(grpc)], 'kubernetes.io/h2c');
    certify('one', 'one.test');
    certify('two', 'two.test');
    state.set(ingressCertificates, { metadata: { namespace: 'default', name: 'bad' }, certificate: 'bm90', key: 'YXQgYWxs' });
    apply('secure', { rules: [rule('one.test', '/', 'a'), rule('two.test', '/', 'grpc')], tls: [{ hosts: ['one.test'], secretName: 'one' }, { hosts: ['two.test'], secretName: 'two' }, { hosts: ['bad.test'], secretName: 'bad' }] });
    await expect.poll(() => askTls('one.test').then(({ protocol, certified }) => [protocol, certified], String)).toEqual(['h2', 'one.test']);
    expect(await askTls('two.test')).toMatchObject({ protocol: 'h2', certified: 'two.test', body: 'grpc', trailers: { 'grpc-status': '0' } });
    await expect(askTls('bad.test')).rejects.toThrow();
    expect(events.map(({ reason, message }) => `${reason} ${message}`)).toEqual([expect.stringMatching(/^IngressNotServed TLS of Secret default\/bad is not served/)]);
    expect((await stat(dir)).mode & 0o777).toBe(0o700);
    expect((await readFile('/proc/mounts', 'utf8')).includes(`tmpfs ${dir} tmpfs`)).toBe(true);
  });

  it('passes WebSockets through in the clear, by TLS and by HTTP/2, and lets them live while rules change', async () => {
    const headers = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==', 'sec-websocket-version': '13' };
    const tls = { ca: caPem, servername: 'one.test', ALPNProtocols: ['http/1.1'], checkServerIdentity: () => undefined };
    const upgraded = (ask: () => ReturnType<typeof request>): Promise<Duplex> => eventually(() => new Promise<Duplex | false>((resolve) => {
      // A worker that ends may still answer by the rules of before.
      ask().on('upgrade', (_, socket) => { resolve(socket); }).on('response', () => { resolve(false); }).on('error', () => { resolve(false); }).end();
    }), { what: 'a WebSocket' });
    // RFC 8441: by a request with the method CONNECT, which the server has to have offered.
    const sessions: ClientHttp2Session[] = [];
    const connected = (origin: string): Promise<Duplex> => eventually(() => new Promise<Duplex | false>((resolve) => {
      const session = connect(origin, { ...tls, ALPNProtocols: ['h2'] }).on('error', () => { resolve(false); });
      sessions.push(session);
      session.once('remoteSettings', ({ enableConnectProtocol }) => {
        if (enableConnectProtocol !== true) { resolve(false); return; }
        const stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': new URL(origin).protocol.slice(0, -1), ':path': '/', ':authority': 'one.test', 'sec-websocket-version': '13' });
        stream.on('response', ({ ':status': status }) => { resolve(status === 200 && stream); }).on('error', () => { resolve(false); });
      });
    }), { what: 'a WebSocket by HTTP/2' });
    const sockets = await Promise.all([
      upgraded(() => request({ host: '127.0.0.1', port: httpPort, headers: { ...headers, host: 'one.test' } })),
      upgraded(() => requestTls({ host: '127.0.0.1', port: httpsPort, ...tls, headers: { ...headers, host: 'one.test' } })),
      connected(`http://127.0.0.1:${String(httpPort)}`), connected(`https://127.0.0.1:${String(httpsPort)}`),
    ]);
    const echo = (socket: Duplex, text: string): Promise<string> => new Promise((resolve, reject) => {
      socket.once('data', (chunk: Buffer) => { resolve(chunk.toString()); }).once('error', reject).once('close', () => { reject(new Error('closed')); }).write(text);
    });
    expect(await Promise.all(sockets.map((socket, i) => echo(socket, `before ${String(i)}`)))).toEqual(['before 0', 'before 1', 'before 2', 'before 3']);
    apply('meanwhile', { rules: [rule('meanwhile.test', '/', 'b')] });
    await expect.poll(() => nameAt('meanwhile.test')).toBe('b');
    expect(await Promise.all(sockets.map((socket, i) => echo(socket, `after ${String(i)}`)))).toEqual(['after 0', 'after 1', 'after 2', 'after 3']);
    for (const socket of sockets) socket.destroy();
    for (const session of sessions) session.destroy();
  });

  it('sends whoever asks in the clear to HTTPS where an Ingress says so, and nobody else', async () => {
    apply('only-https', { rules: [rule('one.test', '/shop', 'b')], tls: [{ hosts: ['one.test'], secretName: 'one' }] }, { 'cleat.dev/ssl-redirect': 'true' });
    await expect.poll(() => nameAt('one.test', '/shop')).toBe('308');
    const { headers } = await ask('One.test:80', '/shop/a%20b?c=http://d', undefined, 'POST');
    expect(headers.location).toBe(`https://One.test:${String(httpsPort)}/shop/a%20b?c=http://d`);
    expect([await nameAt('one.test', '/.well-known/acme-challenge/x'), (JSON.parse((await askTls('one.test', '/shop')).body) as { name: string }).name]).toEqual(['a', 'b']);
    state.remove(ingresses, 'default', 'only-https');
    await expect.poll(() => nameAt('one.test', '/shop')).toBe('a');
  });

  it('gives what no rule is for to the default backend of the host, or of all', async () => {
    apply('own', { rules: [rule('own.test', '/x', 'a')], defaultBackend: { service: { name: 'b', port: { number: 80 } } } });
    await expect.poll(() => nameAt('own.test', '/x')).toBe('a');
    expect([await nameAt('own.test', '/xx'), await nameAt('nobody.test'), await nameAt('one.test', '/y')]).toEqual(['b', 'b', 'a']);
    state.remove(ingresses, 'default', 'own');
    await expect.poll(() => nameAt('nobody.test')).toBe('404');
  });

  it('passes gRPC both ways at once, by TLS and in the clear, and lets calls live while rules change', async () => {
    const bytes = (message: Buffer): Buffer => message;
    const server = new GrpcServer();
    const chat = (call: ServerDuplexStream<Buffer, Buffer>): void => { call.on('data', (message: Buffer) => { call.write(Buffer.concat([message, message])); }).on('end', () => { call.end(); }); };
    server.addService({ chat: { path: '/test.Echo/Chat', requestStream: true, responseStream: true, requestSerialize: bytes, requestDeserialize: bytes, responseSerialize: bytes, responseDeserialize: bytes } }, { chat });
    const port = await new Promise<number>((resolve, reject) => { server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => { if (error) reject(error); else resolve(bound); }); });
    expose('chat', [port], 'kubernetes.io/h2c');
    apply('chat', { rules: [rule('two.test', '/test.Echo', 'chat')] });
    const names = { 'grpc.default_authority': 'two.test', 'grpc.ssl_target_name_override': 'two.test' };
    const clients = [
      new Client(`127.0.0.1:${String(httpPort)}`, credentials.createInsecure(), names), new Client(`127.0.0.1:${String(httpsPort)}`, credentials.createSsl(Buffer.from(caPem)), names),
    ];
    const start = (client: Client) => client.makeBidiStreamRequest('/test.Echo/Chat', bytes, bytes).on('error', () => undefined);
    const say = (call: ReturnType<typeof start>, word: string): Promise<string> => new Promise((resolve, reject) => {
      call.once('data', (message: Buffer) => { resolve(message.toString()); }).once('end', reject).write(Buffer.from(word));
    });
    const calls = await Promise.all(clients.map((client) => eventually(async () => {
      const call = start(client);
      return await say(call, 'one').catch(() => '') === 'oneone' && call;
    }, { what: 'an answer by gRPC' })));
    apply('meanwhile', { rules: [rule('later.test', '/', 'b')] });
    await expect.poll(() => nameAt('later.test')).toBe('b');
    expect(await Promise.all(calls.map((call) => say(call, 'two')))).toEqual(['twotwo', 'twotwo']);
    const codes = await Promise.all(calls.map((call) => new Promise((resolve) => { call.on('status', ({ code }: { code: number }) => { resolve(code); }).end(); })));
    expect(codes).toEqual([0, 0]);
    for (const client of clients) client.close();
    server.forceShutdown();
    state.remove(ingresses, 'default', 'chat');
  });

  it('loses no request while endpoints, rules and certificates change', async () => {
    const [second, third] = [await web('a2'), await web('a3')];
    const agent = new Agent({ keepAlive: true, maxSockets: 8 });
    const failures: string[] = [];
    const seen = new Set<string>();
    let [asked, done] = [0, false];
    const load = Promise.all(Array.from({ length: 8 }, async () => {
      while (!done) {
        asked++;
        const answer = await ask('a.test', '/', agent).catch((error: unknown) => ({ status: 0, body: String(error) }));
        if (answer.status === 200) seen.add((JSON.parse(answer.body) as { name: string }).name);
        else failures.push(`${String(answer.status)} ${answer.body}`);
      }
    }));
    const pid = await master();
    const until = async (wanted: readonly string[]): Promise<void> => {
      await expect.poll(() => { const found = [...seen].sort(); seen.clear(); return [found, failures.slice(0, 3), events.slice(1)]; }, { interval: 300 }).toEqual([wanted, [], []]);
    };
    for (let round = 0; round < 3; round++) {
      expose('a', [second, third]);
      await until(['a2', 'a3']);
      state.remove(endpointSlices, 'default', 'a-1');
      await until(['a2']);
      certify('one', 'one.test');
      apply(`more-${String(round)}`, { rules: [rule(`more-${String(round)}.test`, '/', 'b')] });
      await expect.poll(() => nameAt(`more-${String(round)}.test`)).toBe('b');
    }
    done = true;
    await load;
    agent.destroy();
    expect([failures, asked > 100, await master()]).toEqual([[], true, pid]);
  });

  it('goes on without the agent, is adopted by the next, started again when it dies, and ends with the last Ingress', async () => {
    const pid = await master();
    await ends.pop()?.();
    expect(await nameAt('a.test')).toBe('a2');
    run();
    expose('b', [await web('b2')]);
    await expect.poll(() => nameAt('a.test', '/b')).toBe('b2');
    expect(await master()).toBe(pid);
    process.kill(Number(pid.split(' ')[0]), 'SIGKILL');
    await expect.poll(async () => await nameAt('a.test') === 'a2' && await master() !== pid).toBe(true);
    for (const { metadata } of state.list<Ingress>(ingresses)) state.remove(ingresses, 'default', metadata?.name ?? '');
    await expect.poll(() => nameAt('a.test')).toBe('0');
    await expect.poll(() => readdir(dir).then(() => true, () => false)).toBe(false);
  });
});
