import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { Prober, probePort } from './prober.ts';

const byte = (): number => 2 + Math.floor(Math.random() * 250);
const net = `127.${String(byte())}.${String(byte())}`;
const forever = new AbortController().signal;
const [here, there] = [`${net}.1`, `${net}.2`].map((address) => new Prober(systemClock, { address, port: probePort })) as [Prober, Prober];
const heard: string[] = [];

beforeAll(async () => { await Promise.all([here.open(() => undefined), there.open((address) => { heard.push(address); })]); });
afterAll(() => { here.close(); there.close(); });

it('asks and answers, with packets of any size', async () => {
  for (const bytes of [0, 576, 1500, 9000]) expect(await here.ask(`${net}.2`, bytes, 2, forever)).toBeGreaterThanOrEqual(0);
  expect(new Set(heard)).toEqual(new Set([`${net}.1`]));
  expect(await here.stream(`${net}.2`, forever)).toBeUndefined();
});

it('says so when nobody answers', async () => {
  expect(await here.ask(`${net}.9`, 576, 1, forever)).toBeUndefined();
  expect(await here.stream(`${net}.9`, forever)).toContain('ECONNREFUSED');
  await expect(here.ask(`${net}.2`, 576, 1, AbortSignal.abort(new Error('over')))).rejects.toThrow('over');
  // Nobody there would end the attempt for as long as the kernel tries.
  await expect(here.stream('192.0.2.1', AbortSignal.abort(new Error('over')))).rejects.toThrow('over');
});

it('never answers with more than it was sent, and takes no harm from what is none of its packets', async () => {
  const socket = createSocket('udp4');
  socket.bind(0, `${net}.3`);
  await once(socket, 'listening');
  const answers: Buffer[] = [];
  socket.on('message', (message) => { answers.push(message); });
  const valid = Buffer.concat([Buffer.from('cleat1'), Buffer.from([1]), Buffer.alloc(8, 7), Buffer.from([0, 17])]);
  for (const message of [Buffer.alloc(0), Buffer.from('x'), Buffer.alloc(1400), valid.subarray(0, 16), Buffer.concat([valid, Buffer.from('more')]), Buffer.from('cleat1\u0009aaaaaaaabb'), valid]) {
    socket.send(message, probePort, `${net}.2`);
  }
  await expect.poll(() => answers.length).toBe(1);
  expect(answers[0]?.length).toBeLessThanOrEqual(valid.length);
  socket.close();
  const raw = connect(probePort, `${net}.2`);
  raw.end('twelve bytes');
  const [answer] = await once(raw, 'data') as [Buffer];
  expect(answer.toString()).toBe('12\n');
  expect(await here.ask(`${net}.2`, 576, 2, forever)).toBeGreaterThanOrEqual(0);
});
