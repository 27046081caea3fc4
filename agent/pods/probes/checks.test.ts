import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Server as GrpcServer, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';
import { ManualClock, systemClock } from '#common/clock.ts';
import { FakeDriver } from '#agent/runtimes/fake/driver.ts';
import { systemCheck } from './checks.ts';

let server: Server;
let port: number;
const signal = new AbortController().signal;
const check = systemCheck(new FakeDriver(systemClock), systemClock);

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
    expect(await check({ httpGet: { port, path: '/bad' } }, target(), signal)).toEqual({ ok: false, answered: true, output: 'HTTP probe failed with statuscode: 500' });
    expect((await check({ httpGet: { port, path: '/hang' }, timeoutSeconds: 0.05 }, target(), signal)).output).toMatch(/^probe timed out/);
  });

  it('do not blame a program for a host that had no time to read its answer', async () => {
    const clock = new ManualClock();
    let result: { ok: boolean } | undefined;
    const probing = systemCheck(new FakeDriver(clock), clock)({ httpGet: { port, path: '/hang' } }, target(), signal).then((r) => { result = r; });
    await clock.stall(5000);
    expect(result).toBeUndefined();
    await clock.advance(1000);
    await probing;
    expect(result).toMatchObject({ ok: false, output: expect.stringMatching(/^probe timed out after 1s/) });
  });

  it('connect by TCP', async () => {
    expect(await check({ tcpSocket: { port } }, target(), signal)).toMatchObject({ ok: true });
    expect(await check({ tcpSocket: { port: 1 } }, target(), signal)).toMatchObject({ ok: false, output: expect.stringContaining('ECONNREFUSED') });
    // That says nothing of the program, and must not end it.
    for (const probe of [{ tcpSocket: { port: 'none' } }, { httpGet: { port: 'none' } }]) await expect(check(probe, target(), signal)).rejects.toThrow("couldn't find port: none");
  });

  it('ask the gRPC health service', async () => {
    const long = 'example.'.repeat(40);
    const answers: Record<string, Buffer> = { '': Buffer.from([8, 1]), sick: Buffer.from([8, 2]), [`\x02${long}`]: Buffer.from([8, 1]) };
    const grpc = new GrpcServer();
    grpc.register('/grpc.health.v1.Health/Check', ({ request }: { request: Buffer }, done: sendUnaryData<Buffer>) => {
      if (request.subarray(2).toString() !== 'hangs') done(null, answers[request.subarray(2).toString()] ?? Buffer.alloc(0));
    }, (bytes: Buffer) => bytes, (bytes: Buffer) => bytes, 'unary');
    const grpcPort = await new Promise<number>((resolve) => { grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, bound) => { resolve(bound); }); });
    expect(await check({ grpc: { port: grpcPort }, timeoutSeconds: 30 }, target(), signal)).toMatchObject({ ok: true });
    // Its length takes two bytes.
    expect(await check({ grpc: { port: grpcPort, service: long }, timeoutSeconds: 30 }, target(), signal)).toMatchObject({ ok: true });
    expect(await check({ grpc: { port: grpcPort, service: 'sick' }, timeoutSeconds: 30 }, target(), signal)).toEqual({ ok: false, output: 'service unhealthy (responded with "NOT_SERVING")' });
    expect((await check({ grpc: { port: grpcPort, service: 'hangs' }, timeoutSeconds: 0.05 }, target(), signal)).output).toBe('timeout: the gRPC health service did not answer');
    grpc.forceShutdown();
    // The same words each time, so that Events are counted.
    expect(await check({ grpc: { port: 1 } }, target(), signal)).toEqual({ ok: false, output: 'the gRPC health service of port 1 cannot be asked: UNAVAILABLE' });
  });

  it('say what a port answers that has no gRPC health service', async () => {
    const grpc = new GrpcServer();
    const grpcPort = await new Promise<number>((resolve) => { grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_error, bound) => { resolve(bound); }); });
    const said = async (asked: number): Promise<string> => (await check({ grpc: { port: asked }, timeoutSeconds: 30 }, target(), signal)).output;
    expect(await said(grpcPort)).toBe(`the gRPC health service of port ${String(grpcPort)} cannot be asked: UNIMPLEMENTED`);
    grpc.forceShutdown();
    // It speaks HTTP, but not of this version.
    expect(await said(port)).toBe(`the gRPC health service of port ${String(port)} cannot be asked: UNAVAILABLE`);
    const web = createHttp2Server().on('stream', (stream) => { stream.respond({ ':status': 404 }); stream.end('not here'); });
    await new Promise<void>((resolve) => { web.listen(0, '127.0.0.1', resolve); });
    const { port: webPort } = web.address() as AddressInfo;
    expect(await said(webPort)).toBe(`the gRPC health service of port ${String(webPort)} cannot be asked: UNIMPLEMENTED`);
    web.close();
  });
});
