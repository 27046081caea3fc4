import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Routes } from '#api/ingress/routes.ts';
import { systemClock } from '#common/clock.ts';
import { execOk } from '#common/exec.ts';
import { silentLog } from '#common/log.ts';
import { Haproxy } from '#agent/ingress/haproxy.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import type { LoadResult } from '../ingress-process.ts';
import { usageOf } from '../process-usage.ts';
import { median, type Row, type RunOptions } from '../row.ts';
import { freePort } from '#test/support/free-port.ts';

const worker = join(import.meta.dirname, '../ingress-process.ts');
const connections = 32;
const host = 'bench.example';
const rules = 5000;
const turnMs = 1500;
const signal = new AbortController().signal;

interface Target { readonly port: number; readonly pid: number }
interface Measured { readonly perSecond: number; readonly p99: number; readonly cpuMicros: number }

/** The proxy that serves Ingresses, on loopback, beside the web server that it leads to; needs root and HAProxy, and takes half a minute. */
export async function* run({ quick }: RunOptions): AsyncIterable<Row> {
  const dir = await mkdtemp(join(tmpdir(), 'cleat-bench-ingress-'));
  const servers: ChildProcess[] = [];
  const [httpPort, httpsPort] = [await freePort(), await freePort()];
  const proxy = new Haproxy({ clock: systemClock, log: silentLog }, { dir, httpPort, httpsPort, searchPath: process.env['PATH'] ?? '' });
  try {
    const webs = [await web(servers), await web(servers)];
    const ports = webs.map(({ port }) => port);
    const rounds = quick ? 2 : 5;
    await proxy.serve(routes(ports, 1), new Map(), signal);
    const idleMb = await memoryMb(dir);
    await load(httpPort, 1000);
    const bare = await bareHaproxy(dir, ports, servers);
    const [direct, floor, through] = await byTurns([webs[0] ?? bare, bare, { port: httpPort, pid: await workerPid(dir) }], rounds);
    const name = `ingress: requests, ${String(connections)} connections`;
    const peer = (value: number): Required<Row>['peer'] => ({ name: 'the same to the web server itself', value });
    yield { name, unit: '/s', value: through.perSecond, peer: peer(direct.perSecond) };
    yield { name: `${name}, p99`, unit: 'ms', value: through.p99, peer: peer(direct.p99) };
    yield { name: 'ingress: CPU of the proxy for a request', unit: 'µs', value: through.cpuMicros, peer: { name: 'HAProxy with two servers and no rules', value: floor.cpuMicros }, note: `${String(floor.perSecond)} requests a second go through that` };
    await proxy.serve(routes(ports, rules), new Map(), signal);
    const [many] = await byTurns([{ port: httpPort, pid: await workerPid(dir) }], rounds);
    yield { name: `ingress: CPU of the proxy for a request, ${rules.toLocaleString('en')} rules`, unit: 'µs', value: many.cpuMicros, peer: { name: 'with one rule', value: through.cpuMicros }, budget: { at: 'most', of: 'ratio', bound: 1.5 } };
    yield* await changes(proxy, ports, httpPort, quick ? 4000 : 10_000);
    yield { name: 'ingress: memory (PSS) of the proxy, idle', unit: 'MB', value: idleMb };
  } finally {
    await proxy.stop(signal);
    for (const server of servers) server.kill('SIGKILL');
    await rm(dir, { recursive: true, force: true });
  }
}

/** Rules and endpoints change while clients ask: nobody is to notice. */
async function changes(proxy: Haproxy, ports: readonly number[], httpPort: number, forMs: number): Promise<Row[]> {
  const loaded = load(httpPort, forMs);
  const stopAt = performance.now() + forMs - 500;
  let [reloads, moves] = [0, 0];
  while (performance.now() < stopAt) {
    for (const some of [ports.slice(0, 1), ports.slice(1), ports]) {
      await proxy.serve(routes(some, 1 + (reloads % 2)), new Map(), signal);
      moves++;
      await sleep(100);
    }
    reloads++;
  }
  const { asked, failed, p99 } = await loaded;
  const note = `${String(reloads)} changes of rules and ${String(moves)} of endpoints among ${asked.toLocaleString('en')} requests`;
  return [
    { name: 'ingress: requests that fail while rules and endpoints change', unit: 'requests', value: failed, budget: { at: 'most', of: 'value', bound: 0 }, note },
    { name: 'ingress: p99 meanwhile', unit: 'ms', value: p99 },
  ];
}

function routes(ports: readonly number[], count: number): Routes {
  const names = Array.from({ length: count }, (_, i) => (i === 0 ? host : `other-${String(i)}.example`));
  return {
    exact: new Map(), prefix: new Map(names.map((name) => [`${name}/`, 'default:web:80'])), hostDefaults: new Map(), fallback: undefined,
    backends: [{ name: 'default:web:80', protocol: 'http', sticky: false, httpsOnly: false, endpoints: ports.map((port) => ({ ip: '127.0.0.1', port })) }], certificates: [], problems: [],
  };
}

async function web(servers: ChildProcess[]): Promise<Target> {
  const server = spawn(process.execPath, [worker, 'serve'], { stdio: ['ignore', 'pipe', 'inherit'] });
  servers.push(server);
  const [line] = await once(server.stdout, 'data') as [Buffer];
  return { port: Number(line.toString().trim()), pid: server.pid ?? 0 };
}

/** The same program with as many threads, told of the servers and of nothing else. */
async function bareHaproxy(dir: string, ports: readonly number[], servers: ChildProcess[]): Promise<Target> {
  const [port, file] = [await freePort(), join(dir, 'bare.cfg')];
  const backends = ports.map((one, i) => `  server s${String(i)} 127.0.0.1:${String(one)}`);
  await writeFile(file, ['global', `  nbthread ${String(Math.min(4, availableParallelism()))}`, '  maxconn 4000', 'defaults', '  mode http', '  timeout connect 2s', '  timeout client 1m', '  timeout server 1m', 'listen bare', `  bind 127.0.0.1:${String(port)}`, '  balance random', ...backends, ''].join('\n'));
  const bare = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
  servers.push(bare);
  await eventually(() => new Promise<boolean>((resolve) => {
    const socket = connect({ host: '127.0.0.1', port }, () => { socket.destroy(); resolve(true); }).on('error', () => { resolve(false); });
  }), { what: 'HAProxy to listen', timeoutMs: 10_000 });
  return { port, pid: bare.pid ?? 0 };
}

/** Of several short loads, one target after the other, so that what else the machine does meets all of them. */
async function byTurns<const Targets extends readonly Target[]>(targets: Targets, rounds: number): Promise<{ readonly [I in keyof Targets]: Measured }> {
  const results = targets.map((): (LoadResult & { readonly cpuMs: number })[] => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, { port, pid }] of targets.entries()) {
      const before = usageOf(pid).cpuMs;
      const result = await load(port, turnMs);
      results[i]?.push({ ...result, cpuMs: usageOf(pid).cpuMs - before });
    }
  }
  const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);
  return results.map((each) => ({
    perSecond: median(each.map(({ perSecond }) => perSecond)), p99: median(each.map(({ p99 }) => p99)),
    cpuMicros: Number(((1000 * sum(each.map(({ cpuMs }) => cpuMs))) / sum(each.map(({ asked }) => asked))).toFixed(1)),
  })) as { [I in keyof Targets]: Measured };
}

async function load(port: number, forMs: number): Promise<LoadResult> {
  return JSON.parse(await execOk(process.execPath, [worker, 'load', String(port), host, String(connections), String(forMs)], { timeoutMs: forMs + 60_000 })) as LoadResult;
}

/** Of the master and its worker. */
async function memoryMb(dir: string): Promise<number> {
  return Number(((usageOf(await masterPid(dir)).pssBytes + usageOf(await workerPid(dir)).pssBytes) / 1e6).toFixed(1));
}

async function masterPid(dir: string): Promise<number> {
  return Number((await readFile(join(dir, 'pid'), 'utf8')).split(' ')[0]);
}

/** The newest: one that has been replaced may not have ended yet. */
async function workerPid(dir: string): Promise<number> {
  const master = String(await masterPid(dir));
  return Math.max(...(await readFile(`/proc/${master}/task/${master}/children`, 'utf8')).trim().split(' ').map(Number));
}
