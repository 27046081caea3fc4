import { once } from 'node:events';
import * as https from 'node:https';
import type { ApiProcess } from './api-process.ts';
import type { Row } from './row.ts';

interface FanOut { readonly p99Ms: number; readonly deliveredPerSecond: number; readonly rssBefore: number; readonly rssAfter: number }

const watchers = 2000;
const perConnection = 100;
const changesPerSecond = 200;

/** 2,000 watchers of one object, which changes 200 times a second: from when a change is sent until each of them has it. */
export async function watchRows(api: ApiProcess, seconds: number): Promise<Row[]> {
  const size = await sizeOfEvent(api);
  const floor = await fanOut(api, 'floor', '/watch', '/tick', seconds, size);
  const ours = await fanOut(api, 'api', '/api/v1/namespaces/default/configmaps?watch=1&fieldSelector=metadata.name%3Dtick', '/api/v1/namespaces/default/configmaps/tick', seconds, 0);
  const megabytes = (bytes: number): number => Math.round(bytes / (1 << 20));
  return [
    {
      name: `api: ${String(changesPerSecond)} changes a second to ${String(watchers)} watchers, p99`, value: Math.round(ours.p99Ms), unit: 'ms', budget: { at: 'most', of: 'value', bound: 100 },
      peer: { name: 'bare server that writes as many bytes to each', value: Math.round(floor.p99Ms) }, note: `${String(size)} bytes an event; ${String(Math.round(ours.deliveredPerSecond))} a second came, ${String(Math.round(floor.deliveredPerSecond))} from the bare server`,
    },
    {
      name: 'api: memory at the end of that', value: megabytes(ours.rssAfter), unit: 'MB', budget: { at: 'most', of: 'ratio', bound: 1.2 },
      peer: { name: 'after its first second', value: megabytes(ours.rssBefore) },
    },
  ];
}

async function sizeOfEvent(api: ApiProcess): Promise<number> {
  const agent = new https.Agent({ keepAlive: true });
  const { bytes } = await api.ask(agent, 'api', '/api/v1/namespaces/default/configmaps', { method: 'POST', body: change(0, 0) });
  agent.destroy();
  return bytes + '{"type":"MODIFIED","object":}'.length;
}

function change(i: number, bytes: number): unknown {
  return { metadata: { name: 'tick' }, data: { i: String(i), ...(bytes > 0 && { padding: 'p'.repeat(Math.max(0, bytes - 70)) }) } };
}

async function fanOut(api: ApiProcess, of: 'api' | 'floor', watchPath: string, changePath: string, seconds: number, bytes: number): Promise<FanOut> {
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
  const sessions = Array.from({ length: watchers / perConnection }, () => api.connect(of));
  await Promise.all(sessions.flatMap((session) => Array.from({ length: perConnection }, async () => {
    const stream = session.request({ ':path': watchPath });
    await once(stream, 'response');
    // A watch begins with what is there.
    if (of === 'api') await once(stream, 'data');
    stream.on('data', take());
  })));
  const agent = new https.Agent({ keepAlive: true, maxSockets: 8 });
  const started = performance.now();
  const puts: Promise<unknown>[] = [];
  let rssBefore = 0;
  for (let i = 0; i < total; i++) {
    const due = started + (i * 1000) / changesPerSecond;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => { setTimeout(resolve, wait); });
    if (i === changesPerSecond) rssBefore = (await api.memory()).rss;
    sentAt[i] = Math.min(performance.now(), due + 1);
    puts.push(api.ask(agent, of, changePath, { method: 'PUT', body: change(i + 1, bytes) }));
  }
  await Promise.all(puts);
  const deadline = performance.now() + 30_000;
  while (delivered < watchers * total && performance.now() < deadline) await settled();
  const elapsed = (performance.now() - started) / 1000;
  const { rss } = await api.memory();
  for (const session of sessions) session.destroy();
  agent.destroy();
  return { p99Ms: percentileOf(histogram, delivered, 0.99), deliveredPerSecond: delivered / elapsed, rssBefore, rssAfter: rss };
}

function percentileOf(histogram: Uint32Array, total: number, part: number): number {
  let seen = 0;
  return histogram.findIndex((count) => (seen += count) >= total * part);
}

function settled(): Promise<void> {
  return new Promise((resolve) => { setTimeout(resolve, 20); });
}
