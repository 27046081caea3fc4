import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, connect, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { openStore } from '#controlplane/store/open.ts';
import type { Store } from '#controlplane/store/types.ts';
import { median, percentile, type Row } from '../row.ts';

const clients = 64;
/** About what a pod with status weighs. */
const podBytes = 3000;

/** All rows about the store, in about 15 seconds. */
export async function run(): Promise<Row[]> {
  return [...await createRows(), ...await listRows(), ...await watchRows()];
}

/** Acknowledged creates of 64 clients, beside LevelDB alone writing the same bytes in synced batches of 64. */
async function createRows(): Promise<Row[]> {
  const value = Buffer.alloc(podBytes, 'p');
  const rounds: { ours: number; raw: number }[] = [];
  for (let i = 0; i < 3; i++) rounds.push({ raw: await inFolder((dir) => rawCreates(dir, value, 1500)), ours: await inFolder((dir) => storeCreates(dir, value, 1500)) });
  const ours = median(rounds.map((r) => r.ours));
  const raw = median(rounds.map((r) => r.raw));
  return [{ name: 'store: acknowledged creates, 64 clients', value: Math.round(ours), unit: '/s', peer: { name: 'raw LevelDB, synced batches of 64 of the same bytes', value: Math.round(raw) }, budget: { at: 'least', of: 'ratio', bound: 0.4 } }];
}

/** A list of 5,000 pods written to a socket, beside the same bytes from memory. */
async function listRows(): Promise<Row[]> {
  return inStore(async (store) => {
    await fill(store, 5000, podBytes);
    const memory = (await store.list({ prefix: 'core/pods/' })).entries.map((entry) => entry.value);
    return withSocket(async (send) => {
      const ours: number[] = [];
      const floor: number[] = [];
      for (let i = 0; i < 15; i++) {
        floor.push(await timed(() => send(memory)));
        ours.push(await timed(async () => { await send((await store.list({ prefix: 'core/pods/' })).entries.map((entry) => entry.value)); }));
      }
      return [{ name: 'store: list of 5,000 pods over a socket', value: round(median(ours)), unit: 'ms', peer: { name: 'the same bytes sent from memory', value: round(median(floor)) }, budget: { at: 'most', of: 'ratio', bound: 1.5 } }];
    });
  });
}

/** From the write's call until each of 500 watchers has the event. */
async function watchRows(): Promise<Row[]> {
  return inStore(async (store) => {
    const end = new AbortController();
    const latencies: number[] = [];
    let started = 0;
    const watchers = Array.from({ length: 500 }, async () => {
      for await (const events of store.watch({ prefix: 'core/pods/', after: store.revision, signal: end.signal })) {
        for (const _ of events) latencies.push(performance.now() - started);
      }
    });
    const writes: number[] = [];
    for (let i = 0; i < 220; i++) {
      // The first ones are compiled on the way; every later one counts.
      if (i === 20) writes.length = 0;
      started = performance.now();
      await create(store, `core/pods/default/watched-${String(i)}`, Buffer.alloc(podBytes, 'w'));
      writes.push(performance.now() - started);
      while (latencies.length < (i + 1) * 500) await new Promise((resolve) => { setImmediate(resolve); });
    }
    end.abort();
    await Promise.all(watchers);
    latencies.splice(0, 20 * 500);
    const peer = { name: 'the synced write alone', value: round(median(writes)) };
    return [50, 99].map((p) => ({ name: `store: one change to 500 watchers, p${String(p)}`, value: round(percentile(latencies, p)), unit: 'ms', peer }));
  });
}

async function storeCreates(dir: string, value: Uint8Array, forMs: number): Promise<number> {
  const store = await openStore({ log: silentLog, clock: systemClock }, { dir });
  const start = performance.now();
  let done = 0;
  await Promise.all(Array.from({ length: clients }, async (_, client) => {
    for (let i = 0; performance.now() - start < forMs; i++) {
      await create(store, `core/pods/default/c${String(client)}-${String(i)}`, value);
      done++;
    }
  }));
  const perSecond = done / ((performance.now() - start) / 1000);
  await store.close();
  return perSecond;
}

async function rawCreates(dir: string, value: Uint8Array, forMs: number): Promise<number> {
  const db = new Level<string, Uint8Array>(dir, { keyEncoding: 'utf8', valueEncoding: 'view', writeBufferSize: 2 << 20, cacheSize: 2 << 20 });
  await db.open();
  const start = performance.now();
  let done = 0;
  while (performance.now() - start < forMs) {
    await db.batch(Array.from({ length: clients }, (_, i) => ({ type: 'put' as const, key: `r${String(done + i).padStart(11, '0')}`, value })), { sync: true });
    done += clients;
  }
  const perSecond = done / ((performance.now() - start) / 1000);
  await db.close();
  return perSecond;
}

function create(store: Store, key: string, value: Uint8Array): Promise<unknown> {
  return store.write({ key, expect: 'absent', type: 'put', encode: () => value });
}

async function fill(store: Store, count: number, bytes: number): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, i) => create(store, `core/pods/default/pod-${String(i)}`, Buffer.alloc(bytes, 'l'))));
}

/** A loopback connection; `send` resolves when the other side has everything. */
async function withSocket<T>(work: (send: (chunks: readonly Uint8Array[]) => Promise<void>) => Promise<T>): Promise<T> {
  let received = 0;
  let wanted = 0;
  let arrived: (() => void) | undefined;
  const server = createServer((socket) => {
    socket.on('data', (chunk) => {
      received += chunk.byteLength;
      if (received >= wanted) arrived?.();
    });
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  try {
    return await work(async (chunks) => {
      received = 0;
      wanted = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
      const all = new Promise<void>((resolve) => { arrived = resolve; });
      client.cork();
      for (const chunk of chunks) client.write(chunk);
      client.uncork();
      await all;
    });
  } finally {
    client.destroy();
    server.close();
  }
}

function inStore<T>(work: (store: Store) => Promise<T>): Promise<T> {
  return inFolder(async (dir) => {
    const store = await openStore({ log: silentLog, clock: systemClock }, { dir });
    try {
      return await work(store);
    } finally {
      await store.close();
    }
  });
}

async function inFolder<T>(work: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-bench-store-'));
  try {
    return await work(join(dir, 'store'));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}
