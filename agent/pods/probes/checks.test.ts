import { createServer as createHttpServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import { systemCheck } from './checks.ts';

let server: Server;
let port: number;
const signal = new AbortController().signal;
const check = systemCheck(new FakeDriver(systemClock));

beforeAll(async () => {
  server = createHttpServer((request, response) => {
    if (request.url === '/hang') return;
    response.writeHead(request.url === '/ok' && request.headers['x-a'] === 'b' ? 204 : 500);
    response.end('x'.repeat(100_000));
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  port = (server.address() as AddressInfo).port;
});
afterAll(() => { server.closeAllConnections(); server.close(); });

const target = () => ({ containerId: 'c', ip: '127.0.0.1', ports: new Map([['web', port]]) });

describe('probes', () => {
  it('ask by HTTP', async () => {
    const httpHeaders = [{ name: 'X-A', value: 'b' }];
    expect(await check({ httpGet: { port: 'web', path: '/ok', httpHeaders } }, target(), signal)).toMatchObject({ ok: true });
    expect(await check({ httpGet: { port, path: '/bad' } }, target(), signal)).toEqual({ ok: false, output: 'HTTP probe failed with statuscode: 500' });
    expect((await check({ httpGet: { port, path: '/hang' }, timeoutSeconds: 0.05 }, target(), signal)).output).toMatch(/^probe timed out/);
  });

  it('connect by TCP', async () => {
    expect(await check({ tcpSocket: { port } }, target(), signal)).toMatchObject({ ok: true });
    expect(await check({ tcpSocket: { port: 1 } }, target(), signal)).toMatchObject({ ok: false, output: expect.stringContaining('ECONNREFUSED') });
    expect(await check({ tcpSocket: { port: 'none' } }, target(), signal)).toEqual({ ok: false, output: "couldn't find port: none" });
  });

  it('fail when a gRPC service does not answer', async () => {
    expect(await check({ grpc: { port: 1 } }, target(), signal)).toMatchObject({ ok: false });
  });
});
