import { setImmediate as turn } from 'node:timers/promises';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ByteQueue } from './byte-queue.ts';
import { commandChannels, type ByteStream } from './channels.ts';
import { duplexOfChannels } from './duplex.ts';
import { exitStatus } from './exit-status.ts';
import { channelPair } from './pair.ts';
import { channelsOf, relayBytes, relayCommand } from './relay.ts';
import { channelsOfSocket, streamOf } from './socket-channels.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text);
async function textOf(source: AsyncIterable<Uint8Array>): Promise<string> {
  let text = '';
  for await (const chunk of source) text += Buffer.from(chunk).toString();
  return text;
}
const shell = { stdin: true, stdout: true, stderr: true, tty: false };
const { stdin, stdout, stderr, status, resize } = commandChannels;

describe('a queue of bytes', () => {
  it('makes the writer wait while it is over its limit', async () => {
    const queue = new ByteQueue(4);
    expect(queue.push(bytes('abcd'))).toBeUndefined();
    let room = false;
    const waiting = queue.push(bytes('e'))?.then(() => { room = true; });
    await turn();
    expect(room).toBe(false);
    const reader = queue[Symbol.asyncIterator]();
    expect((await reader.next()).value).toEqual(bytes('abcd'));
    await waiting;
    expect(room).toBe(true);
  });
  it('is read to the end, then says what went wrong', async () => {
    const queue = new ByteQueue(100);
    void queue.push(bytes('a'));
    queue.end(new Error('broken'));
    void queue.push(bytes('never'));
    const reader = queue[Symbol.asyncIterator]();
    expect((await reader.next()).value).toEqual(bytes('a'));
    await expect(reader.next()).rejects.toThrow('broken');
  });
  it('lets writers go when nobody reads any more', async () => {
    const queue = new ByteQueue(1);
    const waiting = queue.push(bytes('abc'));
    for await (const chunk of queue) { expect(chunk).toHaveLength(3); break; }
    await waiting;
    expect(queue.push(bytes('abc'))).toBeUndefined();
  });
});

describe('a command', () => {
  it('has the channels that it asks for', () => {
    expect(channelsOf(shell)).toEqual([stdin, stdout, stderr, status]);
    expect(channelsOf({ stdin: false, stdout: true, stderr: false, tty: true })).toEqual([stdout, status, resize]);
  });

  it('gets its input, half-closed; its output and status arrive whole', async () => {
    const [user, near] = channelPair(channelsOf(shell));
    const [far, program] = channelPair(channelsOf(shell));
    const relay = relayCommand(near, far, shell);
    await user.channel(stdin).write(bytes('input'));
    await user.channel(stdin).end();
    expect(await textOf(program.channel(stdin))).toBe('input');
    const outputs = Promise.all([stdout, stderr, status].map((number) => textOf(user.channel(number))));
    await program.channel(stdout).write(bytes('out'));
    await program.channel(stderr).write(bytes('err'));
    await program.channel(status).write(bytes(JSON.stringify(exitStatus(3))));
    for (const number of [stdout, stderr, status]) await program.channel(number).end();
    const [out, err, end = ''] = await outputs;
    expect([out, err]).toEqual(['out', 'err']);
    expect(JSON.parse(end)).toMatchObject({ status: 'Failure', details: { causes: [{ reason: 'ExitCode', message: '3' }] } });
    await relay;
  });

  it('ends when its user goes', async () => {
    const [user, near] = channelPair(channelsOf(shell));
    const [far, program] = channelPair(channelsOf(shell));
    const relay = relayCommand(near, far, shell);
    user.close();
    await relay;
    await program.closed;
  });

  it('goes on when it reads no input', async () => {
    const [user, near] = channelPair(channelsOf(shell));
    const [far, program] = channelPair(channelsOf(shell));
    const relay = relayCommand(near, { ...far, channel: (number) => (number === stdin ? deaf : far.channel(number)) }, shell);
    for (let i = 0; i < 20; i++) await user.channel(stdin).write(new Uint8Array(100_000));
    for (const number of [stdout, stderr, status]) await program.channel(number).end();
    await relay;
  });

  it('tells when its side broke', async () => {
    const [, near] = channelPair(channelsOf(shell));
    const [far, program] = channelPair(channelsOf(shell));
    const relay = relayCommand(near, far, shell);
    program.close(new Error('the node went away'));
    await expect(relay).rejects.toThrow('the node went away');
  });
});

const deaf: ByteStream = { write: () => Promise.reject(new Error('closed')), end: () => Promise.resolve(), async *[Symbol.asyncIterator]() { /* says nothing */ } };

describe('connections', () => {
  it('end each direction on its own', async () => {
    const [user, near] = channelPair([0]);
    const [far, server] = channelPair([0]);
    const relay = relayBytes(near.channel(0), far.channel(0));
    await user.channel(0).write(bytes('request'));
    await user.channel(0).end();
    expect(await textOf(server.channel(0))).toBe('request');
    await server.channel(0).write(bytes('answer'));
    await server.channel(0).end();
    expect(await textOf(user.channel(0))).toBe('answer');
    await relay;
  });

  it('pass through a duplex and a socket unchanged', async () => {
    const [near, far] = channelPair([0]);
    const duplex = duplexOfChannels(near);
    const echo = relayBytes(far.channel(0), new EchoStream());
    const stream = streamOf(duplex);
    const sent = Array.from({ length: 50 }, (_, i) => Buffer.alloc(10_000, i));
    const write = (async () => {
      for (const chunk of sent) await stream.write(chunk);
      await stream.end();
    })();
    const received: Uint8Array[] = [];
    for await (const chunk of stream) received.push(chunk);
    await Promise.all([write, echo]);
    expect(Buffer.concat(received).equals(Buffer.concat(sent))).toBe(true);
  });

  it('reject what is written after they closed', async () => {
    const socket = new PassThrough();
    const channels = channelsOfSocket(socket);
    channels.close();
    await channels.closed;
    await expect(channels.channel(0).write(bytes('late'))).rejects.toMatchObject({ code: 'ServiceUnavailable' });
  });
});

/** Gives back what it is given. */
class EchoStream implements ByteStream {
  readonly #queue = new ByteQueue(1000);
  async write(data: Uint8Array): Promise<void> { await this.#queue.push(data); }
  end(): Promise<void> { this.#queue.end(); return Promise.resolve(); }
  [Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> { return this.#queue[Symbol.asyncIterator](); }
}
