import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, status, type handleUnaryCall } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock, systemClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import { containerConfig, sandboxConfig } from '../test-configs.ts';
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

/** A runtime that gives these answers, and has nothing of what else it is asked for; its streams are the test's. */
async function serve(answers: Readonly<Record<string, () => object | Promise<object>>>, stream: 'CRI' | 'containerd'): Promise<{ readonly events: Promise<{ write: (event: object) => void }>; readonly close: () => void }> {
  const service = loadContract(new URL('../../../proto/third_party/cri/api.proto', import.meta.url)).services.get('runtime.v1.RuntimeService');
  const events = loadContract(new URL('../../../proto/third_party/containerd/events.proto', import.meta.url)).services.get('containerd.services.events.v1.Events');
  if (!service || !events) throw new Error('no such service');
  const subscribed = Promise.withResolvers<{ write: (event: object) => void }>();
  const unary = (name: string): handleUnaryCall<object, object> => (_call, done) => {
    const reply = async (): Promise<void> => {
      const answer = await answers[name]?.();
      if (answer) done(null, answer);
      else done({ code: status.NOT_FOUND });
    };
    void reply();
  };
  const server = new Server();
  const subscribe = (call: { write: (event: object) => void }): void => { subscribed.resolve(call); };
  server.addService(service, { ...Object.fromEntries(Object.keys(service).map((name) => [name, unary(name)])), ...(stream === 'CRI' && { GetContainerEvents: subscribe }) });
  if (stream === 'containerd') server.addService(events, { Subscribe: subscribe });
  await new Promise((resolve) => { server.bindAsync(`unix:${endpoint}`, ServerCredentials.createInsecure(), resolve); });
  return { events: subscribed.promise, close: () => { server.forceShutdown(); } };
}

describe('the end of a container', () => {
  it('is told when the runtime has written it down, also of one that was made while everything was listed, and ended before it was known to run', async () => {
    const listing = Promise.withResolvers<undefined>();
    let asked = 0;
    const { events, close } = await serve({
      ListPodSandbox: () => ({}), ListContainers: async () => { await listing.promise; return {}; }, CreateContainer: () => ({ containerId: 'c1' }),
      ContainerStatus: () => ({ status: { id: 'c1', state: ['CONTAINER_CREATED', 'CONTAINER_RUNNING', 'CONTAINER_RUNNING'][asked++] ?? 'CONTAINER_EXITED' } }),
    }, 'CRI');
    const stop = new AbortController();
    const told: { readonly podUid: string | undefined; readonly asked: number }[] = [];
    const following = (async () => { for await (const { podUid } of driver.events(stop.signal)) told.push({ podUid, asked }); })().catch(() => undefined);
    const list = driver.list(signal);
    expect(await driver.createContainer('s1', sandboxConfig(dir, { podUid: 'u1' }), containerConfig('true'), signal)).toBe('c1');
    listing.resolve(undefined);
    await list;
    (await events).write({ containerId: 'c1', containerEventType: 'CONTAINER_STOPPED_EVENT' });
    await expect.poll(() => told.some(({ podUid }) => podUid === 'u1')).toBe(true);
    expect(told.find(({ podUid }) => podUid === 'u1')?.asked).toBe(4);
    stop.abort();
    await following;
    close();
  });

  it('is told as soon as containerd has let go of its process, however long that took, and not before', async () => {
    const clock = new ManualClock();
    driver.close();
    driver = new CriDriver({ clock, log: silentLog }, { endpoint, owner: 'node' });
    let [asked, state] = [0, 'CONTAINER_RUNNING'];
    const { events, close } = await serve({
      CreateContainer: () => ({ containerId: 'c1' }), ContainerStatus: () => { asked++; return { status: { id: 'c1', state } }; },
    }, 'containerd');
    await driver.createContainer('s1', sandboxConfig(dir, { podUid: 'u1' }), containerConfig('true'), signal);
    const stop = new AbortController();
    const told: (string | undefined)[] = [];
    const following = (async () => { for await (const { podUid } of driver.events(stop.signal)) told.push(podUid); })().catch(() => undefined);
    const tell = async (topic: string, value: readonly number[]): Promise<void> => { (await events).write({ topic, event: { value: Buffer.from(value) } }); };
    const c1 = [2, ...Buffer.from('c1')];
    // A container of nobody, first: its process number is no text.
    await tell('/tasks/delete', [0x0a, 2, ...Buffer.from('c0'), 0x10, 0xff, 0xff, 0x03]);
    await tell('/tasks/exit', [0x0a, ...c1, 0x12, ...c1]);
    await expect.poll(() => asked).toBe(1);
    state = 'CONTAINER_EXITED';
    await tell('/tasks/delete', [0x0a, ...c1, 0x10, 0xff, 0xff, 0x03]);
    await expect.poll(() => told).toContain('u1');
    expect(asked).toBe(2);
    stop.abort();
    await following;
    close();
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
