import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { EtcdServer } from '#test/support/etcd.ts';
import { EtcdClient } from './client.ts';
import { Election } from './election.ts';
import { EtcdRows } from './rows.ts';

let server: EtcdServer;
let client: EtcdClient;
const signal = new AbortController().signal;
const elect = (value: string): Election => new Election({ client, clock: systemClock, log: silentLog }, { key: '/test/leader', value, leaseSeconds: 2 });

beforeAll(async () => {
  server = await EtcdServer.start();
  client = new EtcdClient({ servers: ['http://127.0.0.1:1', server.url], timeoutMs: 10_000 });
});
afterAll(async () => {
  client.close();
  await server.remove();
});

it('one leads, the other learns who; when the lead is given back, it goes to the other, and what the first one writes is refused', async () => {
  const first = await elect('first').campaign(signal, () => { throw new Error('nobody leads'); });
  const heard: string[] = [];
  let isSecondElected = false;
  const waiting = elect('second').campaign(signal, (leader) => { heard.push(leader); }).then((term) => { isSecondElected = true; return term; });
  await vi.waitFor(() => { expect(heard).toEqual(['first']); }, { timeout: 10_000 });
  const old = new EtcdRows(client, { prefix: '/test/rows/', fence: first.fence });
  await old.write([{ name: 'a', bytes: Buffer.from('first') }], true);
  // Longer than a lease: it is renewed.
  await new Promise((resolve) => { setTimeout(resolve, 3000); });
  expect([isSecondElected, first.lost.aborted]).toEqual([false, false]);
  await first.resign();
  const second = await waiting;
  await expect(old.write([{ name: 'a', bytes: Buffer.from('late') }], true)).rejects.toThrow('another control plane leads now');
  expect(Buffer.from((await old.getMany(['a']))[0] ?? []).toString()).toBe('first');
  await new EtcdRows(client, { prefix: '/test/rows/', fence: second.fence }).write([{ name: 'a', bytes: Buffer.from('second') }], true);
  await second.resign();
});

it('is over when etcd does not renew the lease, and begins again when etcd is back', async () => {
  const term = await elect('first').campaign(signal, () => undefined);
  await server.kill();
  await vi.waitFor(() => { expect(term.lost.aborted).toBe(true); }, { timeout: 20_000 });
  await term.resign();
  const stop = new AbortController();
  const given = elect('first').campaign(stop.signal, () => undefined);
  stop.abort(new Error('enough'));
  await expect(given).rejects.toThrow('enough');
  const waiting = elect('second').campaign(signal, () => undefined);
  await server.start();
  await (await waiting).resign();
});
