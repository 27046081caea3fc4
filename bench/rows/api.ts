import { mkdtemp, rm } from 'node:fs/promises';
import * as https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { ApiProcess, type Sent } from '../api-process.ts';
import { watchRows } from '../api-watches.ts';
import { median, percentile, type Row, type RunOptions } from '../row.ts';

const pods = '/api/v1/namespaces/default/pods';
const clients = 64;
const podCount = 10_000;
const tableType = 'application/json;as=Table;v=v1;g=meta.k8s.io';
const applyType = 'application/apply-patch+yaml';

/** All rows about the API over HTTPS, in about a minute. The server runs in a process of its own. */
export async function* run({ quick }: RunOptions): AsyncGenerator<Row> {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-bench-api-'));
  const api = await ApiProcess.start(join(dir, 'state'));
  try {
    yield* await createRows(api, dir);
    for (const [name, path, accept] of [
      ['list of 10,000 pods', pods, undefined], ['1,000 of 10,000 pods by their label', `${pods}?labelSelector=shard%3D3`, undefined], ['list of 10,000 pods as Table', pods, tableType],
    ] as const) yield* await listRows(api, name, path, accept);
    yield await pagedRow(api);
    const patches = quick ? 1000 : 4000;
    yield await writeRow(api, 'merge patches', patches, (i) => [`${pods}/pod-${String(i % podCount)}`, { method: 'PATCH', contentType: 'application/merge-patch+json', body: { metadata: { annotations: { changed: String(i) } } } }]);
    yield await writeRow(api, 'server-side applies', patches, (i) => {
      const name = `pod-${String((i * 7) % podCount)}`;
      return [`${pods}/${name}?fieldManager=bench&force=true`, { method: 'PATCH', contentType: applyType, body: { apiVersion: 'v1', kind: 'Pod', metadata: { name, annotations: { applied: String(i) } } } }];
    });
    yield* await watchRows(api, quick ? 3 : 10);
  } finally {
    api.stop();
    await rm(dir, { recursive: true, force: true });
  }
}

async function createRows(api: ApiProcess, dir: string): Promise<Row[]> {
  const create = (i: number): [string, Sent] => [pods, { method: 'POST', body: podBody(i) }];
  const floor = await load(api, 'floor', podCount, create);
  const ours = await load(api, 'api', podCount, create);
  const raw = await rawCreates(join(dir, 'raw'), 1500);
  const bare = 'bare HTTPS server that answers with the body';
  return [
    { name: 'api: acknowledged creates over HTTPS, 64 clients', value: Math.round(ours.perSecond), unit: '/s', peer: { name: bare, value: Math.round(floor.perSecond) }, note: `raw LevelDB writes ${String(Math.round(raw))} of this size a second in synced batches of 64` },
    { name: 'api: the same, p99', value: round(ours.p99Ms), unit: 'ms', peer: { name: bare, value: round(floor.p99Ms) } },
  ];
}

async function writeRow(api: ApiProcess, what: string, count: number, make: (i: number) => [string, Sent]): Promise<Row> {
  const floor = await load(api, 'floor', count, (i) => ['/', { ...make(i)[1], method: 'POST' }]);
  const ours = await load(api, 'api', count, make);
  return { name: `api: ${what} over HTTPS, 64 clients`, value: Math.round(ours.perSecond), unit: '/s', peer: { name: 'bare HTTPS server that answers with the body', value: Math.round(floor.perSecond) }, note: `p99 ${String(round(ours.p99Ms))} ms` };
}

/** `count` requests by 64 clients. */
async function load(api: ApiProcess, of: 'api' | 'floor', count: number, make: (i: number) => [string, Sent]): Promise<{ readonly perSecond: number; readonly p99Ms: number }> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: clients });
  const took: number[] = [];
  let made = 0;
  const worker = async (): Promise<void> => {
    while (made < count) {
      const [path, sent] = make(made++);
      took.push(await timed(() => api.ask(agent, of, of === 'floor' ? '/' : path, sent)));
    }
  };
  const all = await timed(() => Promise.all(Array.from({ length: clients }, worker)));
  agent.destroy();
  return { perSecond: count / (all / 1000), p99Ms: percentile(took, 99) };
}

async function rawCreates(dir: string, bytes: number): Promise<number> {
  const level = new Level<string, Buffer>(dir, { valueEncoding: 'buffer' });
  await level.open();
  const value = Buffer.alloc(bytes, 'p');
  const batches = 30;
  const all = await timed(async () => {
    for (let i = 0; i < batches; i++) await level.batch(Array.from({ length: 64 }, (_, n) => ({ type: 'put' as const, key: `${String(i)}/${String(n)}`, value })), { sync: true });
  });
  await level.close();
  return (batches * 64) / (all / 1000);
}

/** How long, and what it takes in memory above what was held before. */
async function listRows(api: ApiProcess, what: string, path: string, accept: string | undefined): Promise<Row[]> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const [ours, floor, extra]: number[][] = [[], [], []];
  const sent: Sent = accept === undefined ? {} : { accept };
  const { bytes } = await api.ask(agent, 'api', path, sent);
  for (let i = 0; i < 7; i++) {
    floor?.push(await timed(() => api.ask(agent, 'floor', `/?bytes=${String(bytes)}`)));
    const { rss } = await api.memory();
    await api.forget();
    ours?.push(await timed(() => api.ask(agent, 'api', path, sent)));
    extra?.push((await api.memory()).peak - rss);
  }
  agent.destroy();
  const megabytes = (size: number): number => Math.round((size / (1 << 20)) * 10) / 10;
  const isPlain = accept === undefined && path === pods;
  return [
    { name: `api: ${what} over HTTPS`, value: round(median(ours ?? [])), unit: 'ms', peer: { name: 'as many bytes sent from memory', value: round(median(floor ?? [])) }, budget: { at: 'most', of: 'ratio', bound: isPlain ? 1.5 : 2 } },
    { name: `api: ${what}, memory at most above what was held before`, value: megabytes(Math.max(0, median(extra ?? []))), unit: 'MB', peer: { name: 'the bytes themselves', value: megabytes(bytes) }, budget: { at: 'most', of: 'ratio', bound: 2 } },
  ];
}

/** From the first page to the last, 500 pods each. */
async function pagedRow(api: ApiProcess): Promise<Row> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const sizes: number[] = [];
  const page = async (next: string): Promise<string> => {
    const { bytes, text } = await api.ask(agent, 'api', `${pods}?limit=500${next === '' ? '' : `&continue=${encodeURIComponent(next)}`}`, {}, true);
    sizes.push(bytes);
    return /"continue":"([^"]+)"/.exec(text.slice(0, 1000))?.[1] ?? '';
  };
  const ours = await timed(async () => {
    let next = '';
    do next = await page(next); while (next !== '');
  });
  const floor = await timed(async () => { for (const bytes of sizes) await api.ask(agent, 'floor', `/?bytes=${String(bytes)}`, {}, true); });
  agent.destroy();
  return { name: `api: 10,000 pods in ${String(sizes.length)} pages over HTTPS`, value: round(ours), unit: 'ms', peer: { name: 'as many bytes in as many answers from memory', value: round(floor) } };
}

function podBody(i: number): unknown {
  return { metadata: { name: `pod-${String(i)}`, labels: { app: 'bench', shard: String(i % 10) } }, spec: { containers: [{ name: 'c', image: 'registry.example/app:1', ports: [{ containerPort: 80 }], resources: { requests: { cpu: '10m', memory: '16Mi' } } }] } };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}
