import * as https from 'node:https';
import type { ApiProcess } from './api-process.ts';
import type { Row } from './row.ts';
import type { WatchConnection } from './watch-connection.ts';

interface FanOut {
  readonly p99Ms: number;
  readonly deliveredPerSecond: number;
  /** Of the server, for each second of changes: how much of a core it takes to keep up. */
  readonly cpuShare: number;
  readonly rssBefore: number;
  readonly rssAfter: number;
}

const watchers = 2000;
const perConnection = 100;
const changesPerSecond = 200;
const objects = 50;
const path = '/api/v1/namespaces/kube-public/configmaps';

/** 2,000 watchers of the same objects, of which 200 change each second: from when a change is sent until each of them has it. */
export async function watchRows(api: ApiProcess, seconds: number): Promise<Row[]> {
  const size = await makeObjects(api);
  const floor = await fanOut(api, 'floor', seconds, size);
  const ours = await fanOut(api, 'api', seconds, 0);
  const megabytes = (bytes: number): number => Math.round(bytes / (1 << 20));
  return [
    {
      name: `api: ${String(changesPerSecond)} changes a second to ${String(watchers)} watchers, p99`, value: Math.round(ours.p99Ms), unit: 'ms', budget: { at: 'most', of: 'value', bound: 100 },
      peer: { name: 'bare server that writes as many bytes to each', value: Math.round(floor.p99Ms) }, note: `${String(size)} bytes an event; ${String(Math.round(ours.deliveredPerSecond))} a second came, ${String(Math.round(floor.deliveredPerSecond))} from the bare server`,
    },
    {
      name: 'api: CPU of the server for that', value: Math.round(ours.cpuShare * 100), unit: '% of a core', budget: { at: 'most', of: 'ratio', bound: 2 },
      peer: { name: 'bare server', value: Math.round(floor.cpuShare * 100) },
    },
    {
      name: 'api: memory at the end of that', value: megabytes(ours.rssAfter), unit: 'MB', budget: { at: 'most', of: 'ratio', bound: 1.2 },
      peer: { name: 'after its first second', value: megabytes(ours.rssBefore) },
    },
  ];
}

/** The size of an event about one. */
async function makeObjects(api: ApiProcess): Promise<number> {
  const agent = new https.Agent({ keepAlive: true });
  let size = 0;
  for (let i = 0; i < objects; i++) size = (await api.ask(agent, 'api', path, { method: 'POST', body: change(i, 0) })).bytes;
  agent.destroy();
  return size + '{"type":"MODIFIED","object":}'.length;
}

function change(i: number, bytes: number): unknown {
  return { metadata: { name: nameOf(i), labels: { fan: 'out' } }, data: { i: String(i), ...(bytes > 0 && { padding: 'p'.repeat(Math.max(0, bytes - 100)) }) } };
}

function nameOf(i: number): string {
  return `tick-${String(i % objects)}`;
}

async function fanOut(api: ApiProcess, of: 'api' | 'floor', seconds: number, bytes: number): Promise<FanOut> {
  const total = changesPerSecond * seconds;
  const sentAt = new Float64Array(total);
  const histogram = new Uint32Array(60_000);
  let delivered = 0;
  const take = (): ((chunk: Buffer) => void) => {
    let next = 0;
    return (chunk) => {
      const now = performance.now();
      for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) {
        const late = Math.min(histogram.length - 1, Math.ceil(now - (sentAt[next++] ?? now)));
        histogram[late] = (histogram[late] ?? 0) + 1;
        delivered++;
      }
    };
  };
  const connections = await Promise.all(Array.from({ length: watchers / perConnection }, () => api.watchConnection(of)));
  await Promise.all(connections.flatMap((connection) => Array.from({ length: perConnection }, () => watch(connection, of, take()))));
  const agent = new https.Agent({ keepAlive: true, maxSockets: 64 });
  const cpuBefore = api.cpuMs();
  const started = performance.now();
  const puts: Promise<unknown>[] = [];
  let rssBefore = 0;
  for (let i = 0; i < total; i++) {
    const due = started + (i * 1000) / changesPerSecond;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => { setTimeout(resolve, wait); });
    if (i === changesPerSecond) rssBefore = (await api.memory()).rss;
    sentAt[i] = Math.min(performance.now(), due + 1);
    puts.push(api.ask(agent, of, of === 'api' ? `${path}/${nameOf(i)}` : '/', { method: 'PUT', body: change(i + objects, bytes) }));
  }
  await Promise.all(puts);
  const deadline = performance.now() + 30_000;
  while (delivered < watchers * total && performance.now() < deadline) await settled();
  const elapsed = (performance.now() - started) / 1000;
  const { rss } = await api.memory();
  for (const connection of connections) connection.close();
  agent.destroy();
  return { p99Ms: percentileOf(histogram, delivered, 0.99), deliveredPerSecond: delivered / elapsed, cpuShare: (api.cpuMs() - cpuBefore) / 1000 / seconds, rssBefore, rssAfter: rss };
}

/** Resolves when the watch has begun: the API's begins with what is there. */
async function watch(connection: WatchConnection, of: 'api' | 'floor', take: (chunk: Buffer) => void): Promise<void> {
  const started = Promise.withResolvers<undefined>();
  let first = of === 'api' ? objects : 1;
  connection.get(of === 'api' ? `${path}?watch=1&labelSelector=fan` : '/watch', (payload) => {
    if (first === 0) return take(payload);
    first -= linesIn(payload);
    if (first === 0) started.resolve(undefined);
  });
  await started.promise;
}

function percentileOf(histogram: Uint32Array, total: number, part: number): number {
  let seen = 0;
  return histogram.findIndex((count) => (seen += count) >= total * part);
}

function linesIn(chunk: Buffer): number {
  let lines = 0;
  for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) lines++;
  return lines;
}

function settled(): Promise<void> {
  return new Promise((resolve) => { setTimeout(resolve, 20); });
}
