import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Level } from 'level';
import { systemClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { TestServer, type Identity } from '#controlplane/apiserver/test-server.ts';
import { openStore } from '#controlplane/store/open.ts';
import { median, percentile, type Row } from '../row.ts';

/** What the server's process tells: where it listens, and a floor that sends bytes from memory over the same TLS. */
interface Served { readonly port: number; readonly floorPort: number; readonly ca: string; readonly admin: Identity }

const pods = '/api/v1/namespaces/default/pods';
const clients = 64;

/** All rows about the API over HTTPS, in about 20 seconds. The server runs in a process of its own. */
export async function run(): Promise<Row[]> {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-bench-api-'));
  const child = fork(import.meta.filename, ['serve', join(dir, 'state')], { execArgv: process.execArgv });
  try {
    const served = await told(child);
    const created = await createRow(served, dir);
    return [created, await listRow(served), ...await watchRows(served)];
  } finally {
    child.kill('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  }
}

async function told(child: ChildProcess): Promise<Served> {
  const [message] = await once(child, 'message') as [Served];
  return message;
}

async function createRow(served: Served, dir: string): Promise<Row> {
  const ours = await posts(served, served.port, pods);
  const floor = await posts(served, served.floorPort, '/');
  const raw = await rawCreates(join(dir, 'raw'), 1500);
  return {
    name: 'api: acknowledged creates over HTTPS, 64 clients', value: Math.round(ours), unit: '/s',
    peer: { name: 'bare HTTPS server that answers with the body', value: Math.round(floor) },
    note: `raw LevelDB writes ${String(Math.round(raw))} of this size a second in synced batches of 64`,
  };
}

/** 5,000 POSTs of a pod by 64 clients, per second. */
async function posts(served: Served, port: number, path: string): Promise<number> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: clients });
  let made = 0;
  const total = 5000;
  const worker = async (): Promise<void> => {
    while (made < total) await ask(served, agent, port, 'POST', path, podBody(`pod-${String(made++)}`));
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: clients }, worker));
  agent.destroy();
  return total / ((performance.now() - started) / 1000);
}

async function rawCreates(dir: string, bytes: number): Promise<number> {
  const level = new Level<string, Buffer>(dir, { valueEncoding: 'buffer' });
  await level.open();
  const value = Buffer.alloc(bytes, 'p');
  const batches = 30;
  const started = performance.now();
  for (let i = 0; i < batches; i++) await level.batch(Array.from({ length: 64 }, (_, n) => ({ type: 'put' as const, key: `${String(i)}/${String(n)}`, value })), { sync: true });
  const rate = (batches * 64) / ((performance.now() - started) / 1000);
  await level.close();
  return rate;
}

async function listRow(served: Served): Promise<Row> {
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const ours: number[] = [];
  const floor: number[] = [];
  for (let i = 0; i < 12; i++) {
    floor.push(await timed(() => ask(served, agent, served.floorPort, 'GET', '/')));
    ours.push(await timed(() => ask(served, agent, served.port, 'GET', pods)));
  }
  agent.destroy();
  return {
    name: 'api: list of 5,000 pods over HTTPS', value: round(median(ours)), unit: 'ms',
    peer: { name: 'as many bytes sent from memory over HTTPS', value: round(median(floor)) }, budget: { at: 'most', of: 'ratio', bound: 1.5 },
  };
}

/** From the write's call until each of 500 watchers, on ten connections, has the event. */
async function watchRows(served: Served): Promise<Row[]> {
  const latencies: number[] = [];
  let started = 0;
  const sessions = Array.from({ length: 10 }, () => http2.connect(`https://127.0.0.1:${String(served.port)}`, { ca: served.ca, servername: 'localhost', ...served.admin }));
  const opened = sessions.flatMap((session) => Array.from({ length: 50 }, async () => {
    const stream = session.request({ ':path': '/api/v1/namespaces/default/configmaps?watch=1&fieldSelector=metadata.name%3Dtick' });
    stream.on('data', () => { latencies.push(performance.now() - started); });
    await once(stream, 'response');
  }));
  await Promise.all(opened);
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const changes = 40;
  for (let i = 0; i < changes; i++) {
    started = performance.now();
    const body = { metadata: { name: 'tick' }, data: { i: String(i) } };
    if (i === 0) await ask(served, agent, served.port, 'POST', '/api/v1/namespaces/default/configmaps', body);
    else await ask(served, agent, served.port, 'PUT', '/api/v1/namespaces/default/configmaps/tick', body);
    while (latencies.length < (i + 1) * 500) await new Promise((resolve) => { setImmediate(resolve); });
  }
  for (const session of sessions) session.destroy();
  agent.destroy();
  return [50, 99].map((p) => ({ name: `api: one change to 500 watchers over HTTPS, p${String(p)}`, value: round(percentile(latencies.slice(2500), p)), unit: 'ms' }));
}

async function ask(served: Served, agent: https.Agent, port: number, method: string, path: string, body?: unknown): Promise<void> {
  const text = body === undefined ? undefined : JSON.stringify(body);
  await new Promise<void>((resolve, reject) => {
    const request = https.request({
      host: '127.0.0.1', port, path, method, agent, ca: served.ca, servername: 'localhost', ...served.admin,
      headers: text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) },
    }, (response) => {
      response.on('data', () => undefined);
      response.on('end', () => {
        if ((response.statusCode ?? 500) < 300) resolve();
        else reject(new Error(`${method} ${path} answered ${String(response.statusCode)}`));
      });
    });
    request.on('error', reject);
    request.end(text);
  });
}

function podBody(name: string): unknown {
  return { metadata: { name, labels: { app: 'bench' } }, spec: { containers: [{ name: 'c', image: 'registry.example/app:1', ports: [{ containerPort: 80 }], resources: { requests: { cpu: '10m', memory: '16Mi' } } }] } };
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await work();
  return performance.now() - started;
}

function round(ms: number): number {
  return Math.round(ms * 100) / 100;
}

/** The child: the API on LevelDB, and beside it a bare HTTPS server with as many bytes as the list will have. */
async function serve(dir: string): Promise<void> {
  const store = await openStore({ log: silentLog, clock: systemClock }, { dir });
  const server = await TestServer.start({ store });
  let bytes: Buffer | undefined;
  const floor = https.createServer({ key: server.serving.key, cert: server.serving.cert }, (request, response) => {
    void (async () => {
      if (request.method === 'POST') {
        const chunks: Buffer[] = [];
        for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
        response.end(Buffer.concat(chunks));
        return;
      }
      bytes ??= Buffer.concat((await store.list({ prefix: 'core/pods/' })).entries.map((entry) => entry.value));
      response.end(bytes);
    })();
  });
  floor.listen(0, '127.0.0.1');
  await once(floor, 'listening');
  const address = floor.address();
  const served: Served = { port: server.port, floorPort: address !== null && typeof address === 'object' ? address.port : 0, ca: server.caPem, admin: server.admin };
  process.send?.(served);
}

if (process.argv[2] === 'serve' && process.argv[1] === import.meta.filename) await serve(process.argv[3] ?? '');
