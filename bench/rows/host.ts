import { setTimeout as sleep } from 'node:timers/promises';
import { exec } from '#common/exec.ts';
import { openPeer } from '../engine-peers.ts';
import { HostCluster } from '../host-cluster.ts';
import { usageOf, type Usage } from '../process-usage.ts';
import { median, type Row, type RunOptions } from '../row.ts';

const mb = 1e6;
const settleMs = 30_000;
const cpuWindowMs = 60_000;
const diskWindowMs = 600_000;

/** The three ways to run: who is measured, and the most that it may hold and write. */
interface Part { readonly name: string; readonly pid: number; readonly pssMb: number; readonly writtenKb: number }

/**
 * Real processes in lab hosts: memory, idle CPU and disk, starts, pods, and the command line. A cluster in one process
 * and one in two are measured at the same time. Needs root; about 14 minutes, most of them waiting; `quick`: 3.
 */
export async function* run({ quick, executable }: RunOptions): AsyncGenerator<Row> {
  const shipped = { executable: await executable() };
  const clusters = await Promise.all([HostCluster.create({ agents: 0, allInOne: true, ...shipped }), HostCluster.create({ agents: 1, ...shipped })]);
  await Promise.all(clusters.map(({ cluster }) => cluster.importImage()));
  const [one, two] = clusters;
  try {
    yield* idleRows(one, two, quick);
    await two.destroy();
    yield await commandRow(one, shipped.executable);
    yield await startRow(one, quick ? 3 : 7);
    await one.scale(0);
    await one.follow();
    yield* podRows(one, quick);
  } finally {
    await Promise.all(clusters.map((cluster) => cluster.destroy()));
  }
}

async function* idleRows(one: HostCluster, two: HostCluster, quick: boolean): AsyncGenerator<Row> {
  const pidOf = async (process: { pid(): Promise<number> } | undefined): Promise<number> => (process ? process.pid() : Promise.reject(new Error('a process is missing')));
  const parts: Part[] = [
    { name: 'control plane', pid: await pidOf(two.cluster.controlPlane), pssMb: 90, writtenKb: 140 },
    { name: 'agent', pid: await pidOf(two.cluster.agent(0)), pssMb: 80, writtenKb: 35 },
    { name: 'all in one', pid: await pidOf(one.cluster.controlPlane), pssMb: 150, writtenKb: 175 },
  ];
  for (const count of [0, 3, 30]) {
    await Promise.all([one.scale(count), two.scale(count)]);
    await sleep(settleMs);
    for (const part of parts) yield { name: `memory (PSS): ${part.name}, ${String(count)} pods`, unit: 'MB', value: round(usageOf(part.pid).pssBytes / mb, 1), budget: { at: 'most', of: 'value', bound: part.pssMb } };
  }
  yield* await windowRows(parts, quick);
}

/** One window serves CPU and disk. Nobody asks anything while it lasts. */
async function windowRows(parts: readonly Part[], quick: boolean): Promise<Row[]> {
  const look = (): Usage[] => parts.map(({ pid }) => usageOf(pid));
  const before = look();
  await sleep(cpuWindowMs);
  const minute = look();
  const windowMs = quick ? 2 * cpuWindowMs : diskWindowMs;
  await sleep(windowMs - cpuWindowMs);
  const after = look();
  const cpu = (a: Usage[], b: Usage[], i: number, ms: number): number => round((100 * ((b[i]?.cpuMs ?? NaN) - (a[i]?.cpuMs ?? NaN))) / ms, 2);
  return parts.flatMap(({ name, pssMb, writtenKb }, i): Row[] => [
    {
      name: `idle CPU over a minute: ${name}, 30 pods`, unit: '% of a core', value: cpu(before, minute, i, cpuWindowMs), budget: { at: 'most', of: 'value', bound: 1 },
      note: `${String(cpu(minute, after, i, windowMs - cpuWindowMs))} % in the ${String(windowMs / 60_000 - 1)} minutes after`,
    },
    {
      name: `written to disk in ${String(windowMs / 60_000)} idle minutes: ${name}, 30 pods`, unit: 'KB', value: round(((after[i]?.writtenBytes ?? NaN) - (before[i]?.writtenBytes ?? NaN)) / 1000, 1),
      ...(!quick && { budget: { at: 'most', of: 'value', bound: writtenKb } }),
    },
    { name: `memory (PSS): ${name}, 30 pods, after the window`, unit: 'MB', value: round((after[i]?.pssBytes ?? NaN) / mb, 1), budget: { at: 'most', of: 'value', bound: pssMb } },
  ]);
}

/** From the start of the process until /readyz says ok, with the state of 30 pods that run. */
async function startRow(one: HostCluster, rounds: number): Promise<Row> {
  const times: number[] = [];
  for (let i = 0; i < rounds; i++) {
    await one.cluster.stopControlPlane(i % 2 === 0 ? 'SIGTERM' : 'SIGKILL');
    const started = performance.now();
    one.cluster.spawnControlPlane();
    await one.readyMs();
    times.push(performance.now() - started);
    await one.cluster.waitForNodes();
  }
  return { name: 'start of cleat up on an existing state with 30 pods, to /readyz ok', unit: 'ms', value: round(median(times), 0), budget: { at: 'most', of: 'value', bound: 1000 }, note: `slowest of ${String(rounds)}: ${String(round(Math.max(...times), 0))} ms; every second start follows a kill -9` };
}

async function commandRow(one: HostCluster, cleat: string): Promise<Row> {
  const once = (command: string) => timed(async () => {
    const { exitCode, stderr } = await exec(command, ['get', 'pods'], { env: { KUBECONFIG: one.kubeconfig } });
    if (exitCode !== 0) throw new Error(`${command} get pods: ${stderr}`);
  });
  const times: { ours: number; peer: number }[] = [];
  for (let i = 0; i < 18; i++) times.push({ peer: await once('kubectl'), ours: await once(cleat) });
  times.splice(0, 3);
  return { name: 'cleat get pods, 30 pods', unit: 'ms', value: round(median(times.map((t) => t.ours)), 0), peer: { name: 'kubectl get pods', value: round(median(times.map((t) => t.peer)), 0) }, budget: { at: 'most', of: 'ratio', bound: 1.5 } };
}

async function* podRows(one: HostCluster, quick: boolean): AsyncGenerator<Row> {
  const note = 'a pod is two containers and a network; the peer starts a pause with a network and an app container per pod, one after the other';
  const ctr = await openPeer('cri', one.cluster);
  for (const { count, rounds } of [{ count: 1, rounds: quick ? 5 : 11 }, { count: 20, rounds: quick ? 3 : 5 }]) {
    const times: { ours: number; peer: number }[] = [];
    for (let i = 0; i <= rounds; i++) {
      const names = Array.from({ length: count }, (_, n) => `bench-${String(i)}-${String(n)}`);
      const ours = await timed(async () => { await one.createPods(names); await one.running(names); });
      await one.deletePods(names);
      times.push({ ours, peer: (await ctr.run(count)).startMs });
    }
    times.shift(); // the first warms up
    yield {
      name: count === 1 ? 'create → Running of one pod' : `create → Running of ${String(count)} pods at once`, unit: 'ms', value: round(median(times.map((t) => t.ours)), 0),
      peer: { name: 'ctr run of the same containers', value: round(median(times.map((t) => t.peer)), 0) }, budget: { at: 'most', of: 'ratio', bound: 1.5 }, note,
    };
  }
}

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
