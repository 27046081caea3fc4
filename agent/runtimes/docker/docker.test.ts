import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { DockerEngine } from './engine.ts';
import { frames, type Frame } from './frames.ts';
import { jsonLines } from './json-lines.ts';
import { logEntries } from './logs.ts';
import { containerConfig, sandboxConfig } from '../test-configs.ts';
import { cgroupParent, containerRequest, type EngineFacts } from './mapping.ts';

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of source) found.push(item);
  return found;
}

function frame(stream: 1 | 2, text: string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([header, Buffer.from(text)]);
}

const time = '2026-01-01T00:00:00.000000001Z';

describe('what Docker sends', () => {
  it.each([1, 3, 7, 4096])('is taken apart however it is cut: by %i bytes', async (size) => {
    const bytes = Buffer.concat([frame(1, 'one'), frame(2, ''), frame(2, 'two'), frame(1, 'three')]);
    const texts: Record<Frame['stream'], string> = { stdout: '', stderr: '' };
    for (const { stream, data } of await all(frames(pieces(bytes, size)))) texts[stream] += data.toString();
    expect(texts).toEqual({ stdout: 'onethree', stderr: 'two' });
  });

  it.each([5, 100_000])('is a log of lines, each of its own output, long ones in pieces: by %i bytes', async (size) => {
    const long = 'x'.repeat(16 << 10);
    const bytes = Buffer.concat([frame(1, `${time} be`), frame(2, `${time} oops\n`), frame(1, 'gun\n'), frame(1, `${time} ${long}`), frame(1, `${time} rest\n`), frame(1, `${time} \n`), frame(1, 'no time\n')]);
    const entries = await all(logEntries(frames(pieces(bytes, size))));
    expect(entries.map(({ stream, complete, text }) => [stream, complete, text.toString()])).toEqual([
      ['stderr', true, 'oops'], ['stdout', true, 'begun'], ['stdout', false, long], ['stdout', true, 'rest'], ['stdout', true, ''],
    ]);
    expect(entries.every((entry) => entry.time === time)).toBe(true);
  });

  it('is JSON by lines; what is none is passed over, and endless lines are refused', async () => {
    expect(await all(jsonLines(pieces(Buffer.from('{"a":1}\nnoise\n{"b":2}'), 4)))).toEqual([{ a: 1 }, { b: 2 }]);
    await expect(all(jsonLines(pieces(Buffer.alloc(3 << 20, 'x'), 65536)))).rejects.toMatchObject({ code: 'InternalError' });
  });
});

it('names cgroups as systemd does where that rules', () => {
  const facts = { systemdCgroups: true, cdi: false, recursiveReadOnly: false, minOomScoreAdj: 0 };
  expect(cgroupParent('/kubepods/poda1-b2', facts)).toBe('kubepods-poda1_b2.slice');
  expect(cgroupParent('/kubepods/poda1-b2', { ...facts, systemdCgroups: false })).toBe('/kubepods/poda1-b2');
});

it('tells a Docker that makes mounts read-only with all inside which of them are to be so', () => {
  const facts = { systemdCgroups: false, cdi: false, recursiveReadOnly: true, minOomScoreAdj: 0 };
  const mount = { hostPath: '/h', containerPath: '/c', readOnly: true, propagation: 'None' } as const;
  const config = containerConfig('true', { mounts: [mount, { ...mount, recursiveReadOnly: true }, { ...mount, readOnly: false }] });
  const optionsFor = (engine: EngineFacts): unknown[] => (containerRequest({ owner: 'n', sandboxId: 's', sandbox: sandboxConfig('/l'), resolvConf: '/r', seccompProfile: undefined }, config, engine) as { HostConfig: { Mounts: { BindOptions: object }[] } }).HostConfig.Mounts.map(({ BindOptions: options }) => Object.keys(options).filter((name) => name !== 'Propagation').join());
  expect(optionsFor(facts)).toEqual(['', 'ReadOnlyNonRecursive', 'ReadOnlyForceRecursive', '']);
  expect(optionsFor({ ...facts, recursiveReadOnly: false })).toEqual(['', '', '', '']);
});

it.each<[boolean, 'Unconfined' | 'RuntimeDefault' | 'Localhost', string[]]>([
  [false, 'Unconfined', ['seccomp=unconfined']], [false, 'RuntimeDefault', []], [false, 'Localhost', ['seccomp={}']],
  [true, 'RuntimeDefault', ['seccomp=unconfined']], [true, 'Localhost', ['seccomp=unconfined']],
])('keeps a privileged container (%s) from no system call, whatever profile it names: %s', (privileged, type, options) => {
  const config = containerConfig('true');
  const facts = { systemdCgroups: false, cdi: false, recursiveReadOnly: false, minOomScoreAdj: 0 };
  const place = { owner: 'n', sandboxId: 's', sandbox: sandboxConfig('/l'), resolvConf: '/r', seccompProfile: type === 'Localhost' ? '{}' : undefined };
  expect(containerRequest(place, { ...config, security: { ...config.security, privileged, seccomp: { type } } }, facts)).toMatchObject({ HostConfig: { SecurityOpt: options } });
});

it('lets Docker rotate logs as the node says', () => {
  const facts = { systemdCgroups: false, cdi: false, recursiveReadOnly: false, minOomScoreAdj: 0 };
  const config = containerConfig('true', { logRotation: { maxBytes: 2048, maxFiles: 3 } });
  expect(containerRequest({ owner: 'n', sandboxId: 's', sandbox: sandboxConfig('/l'), resolvConf: '/r', seccompProfile: undefined }, config, facts)).toMatchObject({
    HostConfig: { LogConfig: { Type: 'json-file', Config: { 'max-size': '2048', 'max-file': '3' } } },
  });
});

describe('a socket that no Docker answers on', () => {
  let dir: string;
  let socket: string;
  const signal = new AbortController().signal;
  beforeEach(async () => { socket = join(dir = await mkdtemp(join(tmpdir(), 'cleat-engine-')), 'd.sock'); });
  afterEach(async () => { await rm(dir, { recursive: true, force: true }); });

  it.each<[string, string, ((connection: Socket, clock: ManualClock) => void) | undefined]>([
    ['is absent', 'ServiceUnavailable', undefined],
    ['hangs up', 'ServiceUnavailable', (connection) => { connection.destroy(); }],
    ['says nothing', 'ServiceUnavailable', (_connection, clock) => { void clock.advance(10_000); }],
    ['says nothing in the time that it was given', 'Timeout', (_connection, clock) => { void clock.advance(120_000); }],
    ['stops in the middle', 'ServiceUnavailable', (connection, clock) => { connection.write('HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{', () => { setImmediate(() => { void clock.advance(10_000); }); }); }],
    ['answers what is no answer to this', 'InternalError', (connection) => { connection.end('HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n{"Id":1}'); }],
    ['speaks of something else', 'InternalError', (connection) => { connection.end('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello'); }],
    ['refuses in its own words', 'Conflict', (connection) => { connection.end('HTTP/1.1 409 Conflict\r\ncontent-length: 21\r\n\r\n{"message":"in use" }'); }],
  ])('%s: %s', async (what, code, serve) => {
    const clock = new ManualClock();
    const connections: Socket[] = [];
    const server = createServer((connection) => {
      connections.push(connection.on('error', () => undefined));
      connection.once('data', () => serve?.(connection, clock));
    });
    if (serve) await once(server.listen(socket), 'listening');
    await expect(new DockerEngine(`unix://${socket}`, clock).call('GET', '/version', { has: ['Version'], ...(what.includes('was given') && { timeoutMs: 120_000 }) }, signal)).rejects.toMatchObject({ code });
    for (const connection of connections) connection.destroy();
    server.close();
  });
});
