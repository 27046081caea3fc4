import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Server, ServerCredentials, type sendUnaryData } from '@grpc/grpc-js';
import { execOk } from '#common/exec.ts';
import { HostCluster } from '../host-cluster.ts';
import { usageOf } from '../process-usage.ts';
import { percentile, type Row, type RunOptions } from '../row.ts';

const root = join(import.meta.dirname, '../..');
const mb = 1e6;
const settleMs = 30_000;
const atOnce = 20;
/** What `yes` says. */
const logLine = '0123456789'.repeat(10);
const logLines = 10_000_000;

/** An agent over time: births and deaths, probes, a long log, how soon an end is told. Needs root; about 11 minutes, `quick`: 3. */
export async function* run({ quick, executable }: RunOptions): AsyncGenerator<Row> {
  yield* await probeRows();
  const cluster = await HostCluster.create({ agents: 1, executable: await executable() });
  try {
    await cluster.cluster.importImage();
    await cluster.follow();
    const agent = await cluster.cluster.agent(0)?.pid() ?? NaN;
    yield await eventRow(cluster, quick ? 1 : 5);
    yield* await logRows(cluster, agent, quick ? logLines / 10 : logLines);
    yield await birthsRow(cluster, agent, quick ? 100 : 1000);
    yield* await probesRows(cluster, agent, quick ? 30_000 : 300_000);
  } finally {
    await cluster.destroy();
  }
}

/** CPU of a process with an agent's settings; the servers are in this one. */
async function probeRows(): Promise<Row[]> {
  const web = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', () => { socket.end('HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n'); });
  });
  await new Promise<void>((resolve) => { web.listen(0, '127.0.0.1', resolve); });
  const grpc = new Server();
  grpc.register('/grpc.health.v1.Health/Check', (_call: unknown, done: sendUnaryData<Buffer>) => { done(null, Buffer.from([8, 1])); }, (bytes: Buffer) => bytes, (bytes: Buffer) => bytes, 'unary');
  const grpcPort = await new Promise<number>((resolve, reject) => { grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => { if (error) reject(error); else resolve(port); }); });
  try {
    const flags = /^agent\) flags="\$flags (.*)"/m.exec(readFileSync(join(root, 'cleat'), 'utf8'))?.[1] ?? '';
    const args = ['--disable-warning=ExperimentalWarning', ...flags.split(' '), join(root, 'bench/probe-process.ts'), String((web.address() as AddressInfo).port), String(grpcPort)];
    const { bare = NaN, ...probes } = JSON.parse(await execOk(process.execPath, args, { timeoutMs: 120_000 })) as Record<string, number>;
    return Object.entries(probes).map(([name, value]): Row => ({ name: `CPU of one ${name} probe`, unit: 'ms', value, peer: { name: 'a connection of Node, a request and its answer', value: bare } }));
  } finally {
    web.close();
    grpc.forceShutdown();
  }
}

/** From the death of a container's process until a client that watches is told. */
async function eventRow(cluster: HostCluster, rounds: number): Promise<Row> {
  const host = cluster.cluster.agentHost(0);
  const delays: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const names = Array.from({ length: atOnce }, (_, n) => `ends-${String(round)}-${String(n)}`);
    await cluster.createPods(names);
    await cluster.running(names);
    // Each by its host name, which is the pod's; what is printed is the time right before.
    const killed = await host.sh(`for p in /proc/[0-9]*; do
      [ "$(readlink $p/ns/uts)" != "$(readlink /proc/1/ns/uts)" ] && grep -qs httpd $p/cmdline || continue
      name=$(nsenter --uts --target \${p#/proc/} hostname) || continue; now=$(date +%s%N); kill -9 \${p#/proc/} && echo "$name $now"; sleep 0.05; done 2>/dev/null`, { timeoutMs: 60_000 });
    const heard = await cluster.failed(names);
    for (const line of killed.trim().split('\n')) {
      const [name = '', atNs = ''] = line.split(' ');
      delays.push((heard.get(name) ?? NaN) - Number(atNs) / 1e6);
    }
    await cluster.deletePods(names);
  }
  return { name: `end of a container → status at the API, p99 of ${String(delays.length)}`, unit: 'ms', value: Math.round(percentile(delays, 99)), budget: { at: 'most', of: 'value', bound: 250 }, note: `median ${String(Math.round(percentile(delays, 50)))} ms` };
}

/** A pod writes as fast as it can, and ends, while a client follows. */
async function logRows(cluster: HostCluster, agent: number, lines: number): Promise<Row[]> {
  const bytes = lines * (logLine.length + 1);
  const control = await cluster.cluster.controlPlane?.pid() ?? NaN;
  const parts = [{ name: 'agent', pid: agent }, { name: 'control plane', pid: control }];
  const before = parts.map(({ pid }) => usageOf(pid).pssBytes);
  const most = [...before];
  await cluster.createPods(['chatter'], ['sh', '-c', `sleep 2; yes ${logLine} | head -c ${String(bytes)}; sleep 1`]);
  await cluster.running(['chatter']);
  const follow = cluster.cluster.controlPlaneHost.spawn('follow', 'sh', ['-c', `KUBECONFIG=/etc/cleat/kubeconfig kubectl logs -f chatter | wc -c`]);
  const ended = follow.exited.then(() => true);
  while (!await Promise.race([ended, sleep(200, false)])) parts.forEach(({ pid }, i) => { most[i] = Math.max(most[i] ?? 0, usageOf(pid).pssBytes); });
  const seen = Number(follow.output().trim().split('\n').at(-1));
  await cluster.deletePods(['chatter']);
  return parts.map(({ name }, i): Row => ({
    name: `a log of ${String(Math.round(bytes / mb))} MB followed live: most memory (PSS) of the ${name}`, unit: 'MB', value: rounded((most[i] ?? NaN) / mb), peer: { name: 'before', value: rounded((before[i] ?? NaN) / mb) },
    budget: { at: 'most', of: 'ratio', bound: 1.3 }, note: `${String(Math.round(seen / mb))} MB arrived`,
  }));
}

async function birthsRow(cluster: HostCluster, agent: number, births: number): Promise<Row> {
  const generation = async (round: number): Promise<void> => {
    const names = Array.from({ length: atOnce }, (_, n) => `born-${String(round)}-${String(n)}`);
    await cluster.createPods(names);
    await cluster.running(names);
    await cluster.deletePods(names);
  };
  for (let round = 0; round < 5; round++) await generation(round);
  await sleep(settleMs);
  const before = usageOf(agent).pssBytes;
  for (let round = 5; round < 5 + births / atOnce; round++) await generation(round);
  await sleep(settleMs);
  return {
    name: `memory (PSS): agent, after ${String(births)} pods were born and died`, unit: 'MB', value: rounded(usageOf(agent).pssBytes / mb), peer: { name: 'after the first 100', value: rounded(before / mb) },
    budget: { at: 'most', of: 'ratio', bound: 1.05 },
  };
}

async function probesRows(cluster: HostCluster, agent: number, windowMs: number): Promise<Row[]> {
  await cluster.scale(30, { probed: true });
  await sleep(settleMs);
  const before = usageOf(agent).cpuMs;
  await sleep(windowMs);
  const value = (100 * (usageOf(agent).cpuMs - before)) / windowMs;
  const probed = '30 idle pods with a readiness and a liveness probe each';
  return [
    { name: `CPU: agent, ${probed}`, unit: '% of a core', value: Number(value.toFixed(2)), budget: { at: 'most', of: 'value', bound: 0.5 } },
    { name: `memory (PSS): agent, ${probed}`, unit: 'MB', value: rounded(usageOf(agent).pssBytes / mb), budget: { at: 'most', of: 'value', bound: 80 } },
  ];
}

function rounded(value: number): number {
  return Number(value.toFixed(1));
}
