import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StreamRequest } from '#agent/session/types.ts';
import { nodes } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import { commandChannels, type Channels } from '#common/streams/channels.ts';
import { exitStatus } from '#common/streams/exit-status.ts';
import { channelPair } from '#common/streams/pair.ts';
import { channelsOf } from '#common/streams/relay.ts';
import { EdgeLab, type LabAgent } from './edge-lab.ts';

/** Streams that go both ways between the control plane and an agent, over the real connection. */
let lab: EdgeLab;
let agent: LabAgent;
/** The node's end of what was opened last, and how often something was. */
let far: Channels;
let opened: StreamRequest[];

beforeEach(async () => {
  lab = await EdgeLab.start();
  agent = await lab.agent('a');
  opened = [];
  agent.handlers.open = (request, signal) => {
    opened.push(request);
    const [near, other] = channelPair('stdin' in request ? channelsOf(request) : [0]);
    far = other;
    signal.addEventListener('abort', () => { near.close(); }, { once: true });
    return Promise.resolve(near);
  };
  await lab.until(() => agent.session.connected && lab.cluster.find(nodes, undefined, 'a')?.status !== undefined, 'the session');
});
afterEach(async () => { await lab.close(); });

const { stdin, stdout, stderr, status } = commandChannels;
const streams = { stdin: true, stdout: true, stderr: true, tty: false };
const exec = { kind: 'exec', podUid: 'u', container: 'c', command: ['cat'], ...streams } as const;
const forward = { kind: 'port-forward', podUid: 'u', port: 80 } as const;
const never = new AbortController().signal;

async function textOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe('a stream to a node', () => {
  it('carries a command: input to its end, outputs apart, its status', async () => {
    const program = await lab.dispatcher.open('a', exec, channelsOf(exec), never);
    expect(opened).toEqual([exec]);
    const outputs = Promise.all([stdout, stderr, status].map((number) => textOf(program.channel(number))));
    const input = 'input '.repeat(200_000);
    const write = program.channel(stdin).write(Buffer.from(input)).then(() => program.channel(stdin).end());
    expect(await textOf(far.channel(stdin))).toBe(input);
    await write;
    await far.channel(stdout).write(Buffer.from('out'));
    await far.channel(stderr).write(Buffer.from('err'));
    await far.channel(status).write(Buffer.from(JSON.stringify(exitStatus(0))));
    for (const number of [stdout, stderr, status]) await far.channel(number).end();
    expect(await outputs).toEqual(['out', 'err', '{"metadata":{},"status":"Success"}']);
    await program.closed;
    await far.closed;
  });

  it('ends each direction of a connection on its own', async () => {
    const connection = await lab.dispatcher.open('a', forward, [0], never);
    await connection.channel(0).write(Buffer.from('request'));
    await connection.channel(0).end();
    expect(await textOf(far.channel(0))).toBe('request');
    await far.channel(0).write(Buffer.from('answer'));
    await far.channel(0).end();
    expect(await textOf(connection.channel(0))).toBe('answer');
  });

  it('slows the sender when nobody reads, and does not hold up others', async () => {
    const connection = await lab.dispatcher.open('a', forward, [0], never);
    const slow = far;
    let written = 0;
    const write = (async () => { for (;; written++) await slow.channel(0).write(Buffer.alloc(64 << 10)); })().catch(() => undefined);
    let before = -1;
    await lab.until(() => { const still = written === before && written > 0; before = written; return still; }, 'the sender to wait');
    expect(written).toBeLessThan(100);
    const other = await lab.dispatcher.open('a', forward, [0], never);
    await far.channel(0).write(Buffer.from('quick'));
    const { value } = await other.channel(0)[Symbol.asyncIterator]().next();
    expect(Buffer.from(value ?? []).toString()).toBe('quick');
    connection.close(new Error('enough'));
    await write;
  });

  it('is refused in the words of the node', async () => {
    agent.handlers.open = () => Promise.reject(new StatusError('NotFound', 'container not found ("c")'));
    await expect(lab.dispatcher.open('a', exec, channelsOf(exec), never)).rejects.toMatchObject({ code: 'NotFound', message: 'container not found ("c")' });
    delete agent.handlers.open;
    await expect(lab.dispatcher.open('a', exec, channelsOf(exec), never)).rejects.toMatchObject({ code: 'MethodNotAllowed' });
    await expect(lab.dispatcher.open('absent', exec, channelsOf(exec), never)).rejects.toMatchObject({ code: 'ServiceUnavailable' });
    for (const broken of [{ ...forward, port: 0 }, { ...forward, port: 1.5 }, { ...exec, command: 'cat' }, { ...exec, podUid: undefined }]) {
      await expect(lab.dispatcher.open('a', broken as never, [0], never)).rejects.toMatchObject({ code: 'BadRequest' });
    }
  });

  it('ends on the node when its user goes, and tells its user when the node goes', async () => {
    const gone = new AbortController();
    await lab.dispatcher.open('a', exec, channelsOf(exec), gone.signal);
    const left = far;
    gone.abort();
    await left.closed;
    const closed = await lab.dispatcher.open('a', exec, channelsOf(exec), never);
    const program = far;
    closed.close();
    await program.closed;
    const connection = await lab.dispatcher.open('a', forward, [0], never);
    agent.stop.abort();
    await expect(textOf(connection.channel(0))).rejects.toMatchObject({ code: 'ServiceUnavailable' });
    await connection.closed;
  });

  it('says what broke on the node', async () => {
    const connection = await lab.dispatcher.open('a', forward, [0], never);
    far.close(new StatusError('ServiceUnavailable', 'connection refused'));
    await expect(textOf(connection.channel(0))).rejects.toThrow('connection refused');
  });

  it('is one of a limited number, and gives its place back', async () => {
    const open: Channels[] = [];
    while (open.length < 200) open.push(...await Promise.all(Array.from({ length: 50 }, () => lab.dispatcher.open('a', forward, [0], never))));
    await expect(lab.dispatcher.open('a', forward, [0], never)).rejects.toMatchObject({ code: 'TooManyRequests' });
    for (const connection of open) connection.close();
    await Promise.all(open.map(({ closed }) => closed));
    (await lab.dispatcher.open('a', forward, [0], never)).close();
  });
});
