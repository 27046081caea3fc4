import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { HTTPGetAction } from '#api/gen/types.ts';
import { makeCaCertificate, makeKey } from '#common/pki/certificate.ts';
import { httpCheck } from './http-check.ts';
import type { CheckResult } from './types.ts';

const servers: Server[] = [];
const never = new AbortController().signal;
const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n';

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => new Promise((resolve) => { server.close(resolve); })));
});

/** Answers each request with what `answer` makes of it; resolves with its port. */
async function serve(answer: (request: string, socket: Socket) => string | undefined, { host = '127.0.0.1', secure = false } = {}): Promise<number> {
  const connected = (socket: Socket): void => {
    socket.on('error', () => undefined);
    socket.on('data', (request) => {
      const text = answer(request.toString(), socket);
      if (text !== undefined) socket.write(text);
    });
  };
  const key = secure ? makeKey() : '';
  const server = secure ? createTlsServer({ key, cert: makeCaCertificate(key, 'nobody knows', Date.now(), 3_600_000) }, connected) : createServer(connected);
  servers.push(server);
  await new Promise<void>((resolve) => { server.listen(0, host, resolve); });
  return (server.address() as AddressInfo).port;
}

function check(port: number, action: Partial<HTTPGetAction> = {}, host = '127.0.0.1', signal = never): Promise<CheckResult> {
  return httpCheck({ port, ...action }, host, port, signal);
}

/** What is sent for this. */
async function sent(action: Partial<HTTPGetAction>, host = '127.0.0.1'): Promise<string[]> {
  let seen = '';
  const port = await serve((request) => { seen = request; return ok; }, { host });
  expect(await check(port, action, host)).toEqual({ ok: true, output: '' });
  return seen.replaceAll(String(port), 'PORT').split('\r\n').filter((line) => line !== '');
}

describe('what an HTTP probe sends', () => {
  it('is what kubelet sends', async () => {
    expect(await sent({ path: '/healthz?full=1' })).toEqual(['GET /healthz?full=1 HTTP/1.1', 'Host: 127.0.0.1:PORT', 'User-Agent: kube-probe/cleat', 'Accept: */*', 'Connection: close']);
  });

  it('has the headers that it is given, in place of usual ones too', async () => {
    const httpHeaders = [{ name: 'host', value: 'shop.example' }, { name: 'X-A', value: 'b' }, { name: 'X-A', value: 'c' }, { name: 'user-agent', value: 'me' }, { name: 'Accept', value: '' }];
    expect(await sent({ httpHeaders })).toEqual(['GET / HTTP/1.1', 'Host: shop.example', 'X-A: b', 'X-A: c', 'user-agent: me', 'Connection: close']);
  });

  it('reaches an address of IPv6', async () => {
    expect(await sent({ path: 'no slash' }, '::1')).toEqual(['GET /no%20slash HTTP/1.1', 'Host: [::1]:PORT', 'User-Agent: kube-probe/cleat', 'Accept: */*', 'Connection: close']);
  });

  it.each([
    [{ name: 'X-A', value: 'b\r\nX-B: c' }, 'invalid header field value for "X-A"'],
    [{ name: 'X: y\r\nX-A', value: 'b' }, 'invalid header field name'],
    [{ name: 'Host', value: 'a\nb' }, 'invalid header field value for "Host"'],
  ])('is never more than one request: %j', async (header, message) => {
    const port = await serve(() => ok);
    await expect(check(port, { httpHeaders: [header] })).rejects.toThrow(message);
  });
});

describe('what an HTTP probe makes of the answer', () => {
  it('asks by TLS whoever answers', async () => {
    let name: string | false | null | undefined;
    const port = await serve((_request, socket) => { name = (socket as TLSSocket).servername; return ok; }, { secure: true });
    expect(await check(port, { scheme: 'HTTPS', httpHeaders: [{ name: 'Host', value: 'shop.example:8443' }] })).toEqual({ ok: true, output: '' });
    expect(name).toBe('shop.example');
    await expect(check(port)).rejects.toThrow(/^Get "http:\/\/127.0.0.1:\d+\/": /);
    await expect(check(await serve(() => ok), { scheme: 'HTTPS' })).rejects.toThrow(/^Get "https:\/\/127.0.0.1:\d+\/": tls: first record does not look like a TLS handshake$/);
  });

  it('follows redirects on the same host, to another port and scheme too', async () => {
    const asked: string[] = [];
    const secure = await serve((request) => { asked.push(request.split('\r\n', 2).join(' ')); return 'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n'; }, { secure: true });
    const port = await serve((request) => {
      asked.push(request.split('\r\n', 2).join(' '));
      return `HTTP/1.1 302 Found\r\nLocation: ${request.startsWith('GET / ') ? 'next?a=b' : `https://127.0.0.1:${String(secure)}/last`}\r\nContent-Length: 0\r\n\r\n`;
    });
    expect(await check(port, { httpHeaders: [{ name: 'Host', value: 'shop.example' }] })).toEqual({ ok: false, answered: true, output: 'HTTP probe failed with statuscode: 503' });
    expect(asked).toEqual(['GET / HTTP/1.1 Host: shop.example', 'GET /next?a=b HTTP/1.1 Host: shop.example', `GET /last HTTP/1.1 Host: 127.0.0.1:${String(secure)}`]);
  });

  it.each([
    ['301 Moved Permanently\r\nLocation: http://elsewhere.example/', 'Probe terminated redirects, Response body: gone'],
    ['304 Not Modified', 'Probe terminated redirects, Response body: '],
    ['308 Permanent Redirect', 'Probe terminated redirects, Response body: gone'],
  ])('warns of a success that says little: %s', async (head, output) => {
    const port = await serve(() => `HTTP/1.1 ${head}\r\nContent-Length: 4\r\n\r\ngone`);
    expect(await check(port)).toEqual({ ok: true, warning: true, output });
  });

  it.each([
    ['/', /^Get ".*": stopped after 10 redirects$/],
    ['http://127.0.0.1:x/', /failed to parse Location header/],
    ['ftp://127.0.0.1/', /unsupported protocol scheme "ftp:"/],
  ])('fails where a redirect leads nowhere: %s', async (location, message) => {
    const port = await serve(() => `HTTP/1.1 307 Temporary Redirect\r\nLocation: ${location}\r\nContent-Length: 0\r\n\r\n`);
    await expect(check(port)).rejects.toThrow(message);
  });

  it('fails without an answer', async () => {
    const closing = await serve((_request, socket) => { socket.end(); return undefined; });
    await expect(check(closing)).rejects.toThrow(/^Get "http:\/\/127.0.0.1:\d+\/": EOF$/);
    const stop = new AbortController();
    const silent = await serve(() => { stop.abort(); return undefined; });
    await expect(check(silent, {}, '127.0.0.1', stop.signal)).rejects.toThrow(/: no answer in time$/);
    await expect(check(silent, {}, '127.0.0.1', AbortSignal.abort())).rejects.toThrow(/: no answer in time$/);
    const stopBody = new AbortController();
    const slow = await serve(() => { setImmediate(() => { stopBody.abort(); }); return 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe'; });
    await expect(check(slow, {}, '127.0.0.1', stopBody.signal)).rejects.toThrow(/: no answer in time$/);
  });

  it('leaves a server that keeps connections open', async () => {
    const closed = Promise.withResolvers<undefined>();
    const port = await serve((_request, socket) => { socket.once('close', () => { closed.resolve(undefined); }); return ok; });
    expect(await check(port)).toEqual({ ok: true, output: '' });
    await closed.promise;
  });
});
