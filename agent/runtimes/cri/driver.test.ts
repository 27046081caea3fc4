import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, status, type handleUnaryCall } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { containerConfig, sandboxConfig } from '../contract.ts';
import { loadContract } from '#proto/load.ts';
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

describe('the end of a container', () => {
  it('is told when the runtime has written it down, also of one that was made while everything was listed, and ended before it was known to run', async () => {
    const { services } = loadContract(new URL('../../../proto/third_party/cri/api.proto', import.meta.url));
    const service = services.get('runtime.v1.RuntimeService');
    if (!service) throw new Error('no such service');
    const listing = Promise.withResolvers<undefined>();
    const subscribed = Promise.withResolvers<{ write: (event: object) => void }>();
    const answers: Record<string, () => object | Promise<object>> = {
      ListPodSandbox: () => ({}), ListContainers: async () => { await listing.promise; return {}; }, CreateContainer: () => ({ containerId: 'c1' }),
      ContainerStatus: () => ({ status: { id: 'c1', state: ['CONTAINER_CREATED', 'CONTAINER_RUNNING', 'CONTAINER_RUNNING'][asked++] ?? 'CONTAINER_EXITED' } }),
    };
    let asked = 0;
    const missing = { code: status.NOT_FOUND };
    const unary = (name: string): handleUnaryCall<object, object> => (_call, done) => {
      const reply = async (): Promise<void> => {
        const answer = await answers[name]?.();
        if (answer) done(null, answer);
        else done(missing);
      };
      void reply();
    };
    const server = new Server();
    server.addService(service, { ...Object.fromEntries(Object.keys(service).map((name) => [name, unary(name)])), GetContainerEvents: (call: { write: (event: object) => void }) => { subscribed.resolve(call); } });
    await new Promise((resolve) => { server.bindAsync(`unix:${endpoint}`, ServerCredentials.createInsecure(), resolve); });
    const stop = new AbortController();
    const told: { readonly podUid: string | undefined; readonly asked: number }[] = [];
    const following = (async () => { for await (const { podUid } of driver.events(stop.signal)) told.push({ podUid, asked }); })().catch(() => undefined);
    const list = driver.list(signal);
    expect(await driver.createContainer('s1', sandboxConfig(dir, { podUid: 'u1' }), containerConfig('true'), signal)).toBe('c1');
    listing.resolve(undefined);
    await list;
    (await subscribed.promise).write({ containerId: 'c1', containerEventType: 'CONTAINER_STOPPED_EVENT' });
    await expect.poll(() => told.some(({ podUid }) => podUid === 'u1')).toBe(true);
    expect(told.find(({ podUid }) => podUid === 'u1')?.asked).toBe(4);
    stop.abort();
    await following;
    server.forceShutdown();
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
      const outcomes = await Promise.all(calls.map((call) => failure(call())));
      expect(outcomes.filter((outcome) => outcome !== 'no failure' && !(outcome instanceof StatusError))).toEqual([]);
    }), { numRuns: 25, seed: 5 });
    server.forceShutdown();
  });
});
