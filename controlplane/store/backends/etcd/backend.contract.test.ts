import { afterAll, beforeAll } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { EtcdServer } from '#test/support/etcd.ts';
import { storeContract } from '../../contract.ts';
import { openStore } from '../../open.ts';
import { EtcdClient } from './client.ts';
import { EtcdRows, etcdLimits } from './rows.ts';

let server: EtcdServer;
let client: EtcdClient;
let places = 0;

beforeAll(async () => {
  server = await EtcdServer.start();
  client = new EtcdClient({ servers: [server.url], timeoutMs: 10_000 });
});

afterAll(async () => {
  client.close();
  await server.remove();
});

storeContract('etcd', () => {
  const prefix = `/place-${String(places++)}/`;
  return Promise.resolve({
    open: (config = {}) => openStore({ log: silentLog, clock: systemClock, openRows: () => Promise.resolve(new EtcdRows(client, { prefix })) }, { ...etcdLimits, ...config, dir: '' }),
    remove: () => Promise.resolve(),
  });
});
