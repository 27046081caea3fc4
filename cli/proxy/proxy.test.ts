import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, statSync, writeFileSync } from 'node:fs';
import { request, type IncomingMessage, type RequestOptions, type ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { issueCertificate, makeCaCertificate, makeKey } from '#common/pki/certificate.ts';
import { command } from '../commands/proxy.ts';
import { defaultRules, RequestFilter } from './filter.ts';

/** A server that tells what it was asked, waits on /watch and echoes what is upgraded. */
let api: Server;
let kubeconfig = '';
let dir = '';
let watching: ServerResponse | undefined;
const stops: (() => Promise<void>)[] = [];

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'cleat-proxy-'));
  const [caKey, key] = [makeKey(), makeKey()];
  const ca = makeCaCertificate(caKey, 'proxy', Date.now(), 1e9);
  const cert = issueCertificate({ certPem: ca, certificate: new X509Certificate(ca), key: createPrivateKey(caKey) }, { subject: { commonName: 's' }, publicKey: createPublicKey(createPrivateKey(key)), usage: 'server', names: ['127.0.0.1'], nowMs: Date.now(), lifetimeMs: 1e9 });
  api = createServer({ key, cert }, (asked, response) => { answer(asked, response).catch(() => { response.destroy(); }); });
  api.on('upgrade', (asked: IncomingMessage, socket: Duplex) => {
    socket.on('error', () => undefined);
    if (asked.url?.endsWith('/refused') === true) {
      socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
      return;
    }
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${asked.headers.upgrade ?? ''}\r\nX-Token: ${asked.headers.authorization ?? ''}\r\n\r\n`);
    socket.pipe(socket);
  });
  await once(api.listen(0, '127.0.0.1'), 'listening');
  kubeconfig = join(dir, 'kubeconfig');
  writeFileSync(kubeconfig, `apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: "https://127.0.0.1:${String((api.address() as AddressInfo).port)}", certificate-authority-data: ${Buffer.from(ca).toString('base64')}}}]\nusers: [{name: u, user: {token: secret}}]\ncontexts: [{name: h, context: {cluster: c, user: u}}]\ncurrent-context: h\n`);
  mkdirSync(join(dir, 'www/below'), { recursive: true });
  writeFileSync(join(dir, 'www/page.html'), '<p>hello</p>');
  writeFileSync(join(dir, 'www/a&b.txt'), 'text');
});
afterEach(async () => { for (const stop of stops.splice(0)) await stop(); });
afterAll(async () => {
  const closed = once(api, 'close');
  api.close();
  api.closeAllConnections();
  await closed;
});

async function answer(asked: IncomingMessage, response: ServerResponse): Promise<void> {
  if (asked.url === '/watch') {
    watching = response;
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('{"type":"ADDED"}\n');
    return;
  }
  const body = await text(asked);
  response.writeHead(asked.url === '/missing' ? 404 : 200, { 'content-type': 'application/json', 'access-control-allow-origin': '*' });
  response.end(JSON.stringify({ method: asked.method, url: asked.url, authorization: asked.headers.authorization, host: asked.headers.host, from: asked.headers['x-forwarded-for'], body }));
}

interface Proxy { readonly ask: (options: RequestOptions, body?: string) => Promise<{ status: number; headers: IncomingMessage['headers']; body: string }>; readonly open: (options: RequestOptions) => ReturnType<typeof request>; readonly said: string[]; readonly stop: () => Promise<number> }

async function proxy(...flags: readonly string[]): Promise<Proxy> {
  const end = new AbortController();
  const said: string[] = [];
  const started = Promise.withResolvers<string>();
  const running = command.run(['--kubeconfig', kubeconfig, ...(flags.some((flag) => flag.startsWith('--unix-socket')) ? [] : ['--port=0']), ...flags], {
    out: (line) => { started.resolve(String(line)); return true; }, err: (line) => said.push(line), env: {}, stdin: process.stdin, terminal: false, interrupted: end.signal,
  });
  running.catch(started.reject);
  const [, address = ''] = /^Starting to serve on (.*)\n$/.exec(await started.promise) ?? [];
  const to: RequestOptions = address.startsWith('/') ? { socketPath: address } : { host: '127.0.0.1', port: address.split(':').at(-1) };
  const open = (options: RequestOptions): ReturnType<typeof request> => request({ agent: false, ...to, ...options });
  const stop = async (): Promise<number> => { end.abort(new Error('SIGINT')); return running; };
  stops.push(async () => { await stop(); });
  return {
    said, stop, open,
    async ask(options, body) {
      const sent = open(options);
      sent.end(body);
      const [got] = await once(sent, 'response') as [IncomingMessage];
      return { status: got.statusCode ?? 0, headers: got.headers, body: await text(got) };
    },
  };
}

describe('cleat proxy', () => {
  it('passes requests on as the user of the kubeconfig', async () => {
    const { ask } = await proxy();
    const { status, headers, body } = await ask({ path: '/api/v1/pods?limit=1&labelSelector=a%3Db', method: 'POST' }, 'content');
    expect(status).toBe(200);
    expect(headers['access-control-allow-origin']).toBeUndefined();
    expect(JSON.parse(body)).toEqual({ method: 'POST', url: '/api/v1/pods?limit=1&labelSelector=a%3Db', authorization: 'Bearer secret', host: `127.0.0.1:${String((api.address() as AddressInfo).port)}`, from: expect.stringMatching(/127\.0\.0\.1$/) as string, body: 'content' });
    expect((await ask({ path: '/missing' })).status).toBe(404);
    expect(JSON.parse((await ask({ path: '/', headers: { authorization: 'Bearer mine' } })).body)).toMatchObject({ url: '/', authorization: 'Bearer mine' });
  });

  it('streams watches as they come, and ends them with the client', async () => {
    const { open } = await proxy();
    const sent = open({ path: '/watch' });
    sent.on('error', () => undefined).end();
    const [got] = await once(sent, 'response') as [IncomingMessage];
    got.on('error', () => undefined);
    expect(String((await once(got, 'data'))[0])).toBe('{"type":"ADDED"}\n');
    watching?.write('{"type":"DELETED"}\n');
    expect(String((await once(got, 'data'))[0])).toBe('{"type":"DELETED"}\n');
    const closed = watching ? once(watching, 'close') : undefined;
    sent.destroy();
    await closed;
  });

  it('refuses what kubectl refuses', async () => {
    const { ask } = await proxy();
    for (const options of [{ path: '/api/v1/namespaces/a/pods/b/exec' }, { path: '/api/v1/namespaces/a/pods/b%2Fattach' }, { path: '/api/v1/namespaces/a/pods/x/../b/exec' }, { path: '/', headers: { host: 'evil.example' } }]) {
      expect(await ask(options), JSON.stringify(options)).toMatchObject({ status: 403, body: 'Forbidden\n' });
    }
    expect((await ask({ path: '/%zz' })).status).toBe(400);
    expect((await ask({ path: '/api', headers: { host: 'localhost:8001' } })).status).toBe(200);
  });

  it('takes rules of its own, or none', async () => {
    const own = await proxy('--reject-methods=POST,^PUT$', '--accept-paths=^/api', '--accept-hosts=.*');
    expect((await own.ask({ path: '/api', method: 'PUT' })).status).toBe(403);
    expect((await own.ask({ path: '/version' })).status).toBe(403);
    expect((await own.ask({ path: '/api', headers: { host: 'a.example' } })).status).toBe(200);
    const none = await proxy('--disable-filter');
    expect(none.said.join('')).toContain('vulnerable to XSRF attacks');
    expect((await none.ask({ path: '/api/v1/namespaces/a/pods/b/exec', headers: { host: 'a.example' } })).status).toBe(200);
  });

  it('serves the API below a prefix, and files below another', async () => {
    const { ask } = await proxy('--api-prefix=/k8s-api', `--www=${join(dir, 'www')}`, '--www-prefix=/files/');
    expect(JSON.parse((await ask({ path: '/k8s-api/v1/pods?a=b' })).body)).toMatchObject({ url: '/v1/pods?a=b' });
    expect(await ask({ path: '/k8s-api' })).toMatchObject({ status: 301, headers: { location: '/k8s-api/' } });
    expect(await ask({ path: '/other' })).toMatchObject({ status: 404, body: '404 page not found\n' });
    const page = await ask({ path: '/files/page.html' });
    expect(page).toMatchObject({ status: 200, headers: { 'content-type': 'text/html; charset=utf-8', 'content-length': '12' }, body: '<p>hello</p>' });
    expect((await ask({ path: '/files/page.html', headers: { 'if-modified-since': page.headers['last-modified'] } })).status).toBe(304);
    expect((await ask({ path: '/files/' })).body).toContain('<a href="a&b.txt">a&amp;b.txt</a>\n<a href="below/">below/</a>\n<a href="page.html">page.html</a>\n');
    expect(await ask({ path: '/files/below' })).toMatchObject({ status: 301, headers: { location: 'below/' } });
    expect((await ask({ path: '/files/..%2fkubeconfig' })).status).toBe(404);
    expect((await ask({ path: '/files/%00' })).status).toBe(404);
  });

  it('passes upgrades on, and the refusal of one', async () => {
    const { open, ask } = await proxy();
    const headers = { connection: 'Upgrade', upgrade: 'SPDY/3.1' };
    const sent = open({ path: '/api/v1/namespaces/a/pods/b/portforward', method: 'POST', headers });
    sent.end();
    const [got, socket] = await once(sent, 'upgrade') as [IncomingMessage, Duplex];
    expect(got.headers).toMatchObject({ upgrade: 'SPDY/3.1', 'x-token': 'Bearer secret' });
    socket.write('hello');
    expect(String((await once(socket, 'data'))[0])).toBe('hello');
    socket.destroy();
    expect(await ask({ path: '/refused', headers })).toMatchObject({ status: 403, body: 'no' });
    expect(await ask({ path: '/api/v1/namespaces/a/pods/b/exec', headers })).toMatchObject({ status: 403, body: 'Forbidden\n' });
  });

  it('ends at once when it is interrupted, whatever is open', async () => {
    const { open, stop } = await proxy();
    const headers = { connection: 'Upgrade', upgrade: 'websocket' };
    const upgraded = open({ path: '/stream', headers });
    upgraded.end();
    const [, socket] = await once(upgraded, 'upgrade') as [IncomingMessage, Duplex];
    const watch = open({ path: '/watch' });
    watch.on('error', () => undefined).end();
    const [got] = await once(watch, 'response') as [IncomingMessage];
    const ends = [socket, got].map((stream) => new Promise((resolve) => { stream.on('error', () => undefined).on('close', resolve).resume(); }));
    expect(await stop()).toBe(130);
    await Promise.all(ends);
  });

  it('serves on a socket of its own', async () => {
    const path = join(dir, 'proxy.sock');
    const { ask, stop } = await proxy(`--unix-socket=${path}`);
    expect(statSync(path).mode & 0o777).toBe(0o700);
    expect((await ask({ path: '/api', headers: { host: 'localhost' } })).status).toBe(200);
    await stop();
    expect(existsSync(path)).toBe(false);
    await expect(proxy(`--unix-socket=${path}`, '--port=9')).rejects.toThrow('cannot set --unix-socket and --port at the same time');
  });

  it('says that the port is taken, and that the server does not answer', async () => {
    const taken = String((api.address() as AddressInfo).port);
    await expect(proxy(`--port=${taken}`)).rejects.toThrow(`listen tcp 127.0.0.1:${taken}: bind: address already in use`);
    const { ask, said } = await proxy('--server=https://127.0.0.1:1');
    expect(await ask({ path: '/api' })).toMatchObject({ status: 500 });
    expect(said.join('')).toContain('error: while proxying GET /api: ');
  });

  it('puts the path of the server before requests if asked', async () => {
    const server = `--server=https://127.0.0.1:${String((api.address() as AddressInfo).port)}/clusters/a/`;
    expect((await proxy(server)).said.join('')).toContain('use --append-server-path');
    expect(JSON.parse((await (await proxy(server, '--append-server-path')).ask({ path: '/api' })).body)).toMatchObject({ url: '/clusters/a/api' });
  });
});

describe('RequestFilter', () => {
  it.each([
    ['localhost:8001', true], ['127.0.0.1', true], ['[::1]', true], ['localhost.evil.example', false], ['', false],
  ])('host %s', (host, accepted) => {
    expect(new RequestFilter(defaultRules).accepts('GET', '/api', host)).toBe(accepted);
  });
  it('refuses expressions that are none', () => {
    expect(() => new RequestFilter({ ...defaultRules, acceptHosts: '(' })).toThrow('error parsing regexp: "("');
  });
});
