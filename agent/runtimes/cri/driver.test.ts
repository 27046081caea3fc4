import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, type handleUnaryCall } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { CriDriver } from './driver.ts';

let dir: string;
let endpoint: string;
let driver: CriDriver;
const signal = new AbortController().signal;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cleat-cri-'));
  endpoint = join(dir, 'cri.sock');
  driver = new CriDriver({ clock: systemClock, log: silentLog }, { endpoint, owner: 'node' });
});
afterEach(async () => {
  driver.close();
  await rm(dir, { recursive: true, force: true });
});

const failure = async (work: Promise<unknown>): Promise<unknown> => work.then(() => 'no failure', (error: unknown) => error);

describe('a socket that no runtime answers on', () => {
  it.each<[string, ((socket: Socket) => void) | undefined]>([
    ['is absent', undefined],
    ['hangs up', (socket) => { socket.destroy(); }],
    ['speaks something else', (socket) => { socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'); }],
    ['sends noise', (socket) => { socket.write(Buffer.alloc(4096, 0xa5)); }],
  ])('%s: that is said, and can be tried again', async (_what, serve) => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => undefined));
      serve?.(socket);
    });
    if (serve) await once(server.listen(endpoint), 'listening');
    expect(await failure(driver.version(signal))).toMatchObject({ code: 'ServiceUnavailable', message: expect.stringMatching(/the container runtime did not answer Version.*check that it is running/) });
    for (const socket of sockets) socket.destroy();
    server.close();
  });

  it('says nothing: whoever asks can still give up', async () => {
    const server = createServer((socket) => { socket.on('error', () => undefined); });
    await once(server.listen(endpoint), 'listening');
    const stop = new AbortController();
    const asked = failure(driver.version(stop.signal));
    stop.abort(new Error('enough'));
    expect(await asked).toMatchObject({ message: 'enough' });
    server.close();
  });
});

describe('a runtime that answers nonsense', () => {
  it('is an error or an odd answer, never the end of the agent', async () => {
    let answer: Buffer = Buffer.alloc(0);
    const reply: handleUnaryCall<Buffer, Buffer> = (_call, done) => { done(null, answer); };
    const same = (bytes: Buffer): Buffer => bytes;
    const server = new Server();
    const methods = { 'runtime.v1.RuntimeService': ['Version', 'Status', 'ListPodSandbox', 'ListContainers', 'PodSandboxStatus', 'ContainerStatus', 'ListContainerStats', 'RunPodSandbox', 'ExecSync'], 'runtime.v1.ImageService': ['ImageStatus', 'PullImage'] };
    for (const [service, names] of Object.entries(methods)) for (const name of names) server.register(`/${service}/${name}`, reply, same, same, 'unary');
    await new Promise((resolve) => { server.bindAsync(`unix:${endpoint}`, ServerCredentials.createInsecure(), resolve); });
    const calls = [
      () => driver.version(signal), () => driver.setup(signal), () => driver.notReady(signal), () => driver.list(signal), () => driver.stats(signal),
      () => driver.imageId('i', signal), () => driver.imageUser('i', signal), () => driver.exec('c', ['true'], 1000, signal),
    ];
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 80 }), async (bytes) => {
      answer = Buffer.from(bytes);
      for (const call of calls) {
        const outcome = await failure(call());
        expect(outcome === 'no failure' || outcome instanceof StatusError, String(outcome)).toBe(true);
      }
    }), { numRuns: 40 });
    server.forceShutdown();
  });
});
