import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { silentLog } from '#common/log.ts';
import { Forwarder } from './forwarder.ts';

const ends: (() => Promise<void> | void)[] = [];
afterEach(async () => { for (const end of ends.splice(0).reverse()) await end(); });

async function echo(): Promise<Server> {
  const server = createServer((socket) => { socket.pipe(socket); });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ends.push(() => { server.close(); });
  return server;
}

async function forwarder(): Promise<Forwarder> {
  const made = new Forwarder(silentLog, { host: '127.0.0.1', port: 0 });
  ends.push(() => made.close());
  await made.listen();
  return made;
}

it('hands bytes both ways to whom it aims at, and ends everything when it closes', async () => {
  const target = await echo();
  const through = await forwarder();
  through.aim('127.0.0.1', (target.address() as AddressInfo).port);
  const socket = connect(through.port, '127.0.0.1');
  socket.write('hello');
  expect(String((await once(socket, 'data'))[0])).toBe('hello');
  const closed = once(socket, 'close');
  await through.close();
  await closed;
});

it('ends a connection when nobody leads, and when the leader is not there', async () => {
  const through = await forwarder();
  const early = connect(through.port, '127.0.0.1');
  early.on('error', () => undefined);
  await once(early, 'close');
  const gone = await echo();
  const { port } = gone.address() as AddressInfo;
  gone.close();
  await once(gone, 'close');
  through.aim('127.0.0.1', port);
  const late = connect(through.port, '127.0.0.1');
  late.on('error', () => undefined);
  await once(late, 'close');
});

it('says what to do when the port is taken', async () => {
  const other = await echo();
  const { port } = other.address() as AddressInfo;
  await expect(new Forwarder(silentLog, { host: '127.0.0.1', port }).listen()).rejects.toThrow(`port ${String(port)} of 127.0.0.1 cannot be listened on`);
});
