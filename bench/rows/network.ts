import { join } from 'node:path';
import { AnnounceHosts } from '#test/support/lab/announce-hosts.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import { HostCluster } from '../host-cluster.ts';
import { median, percentile, type Row, type RunOptions } from '../row.ts';

const probe = join(import.meta.dirname, '../../test/support/lab/reach-probe.ts');

/** How soon clients notice what changes: a pod that is Ready, a host that is lost. Real processes in lab hosts; needs root, and takes two minutes. */
export async function* run({ quick, executable }: RunOptions): AsyncIterable<Row> {
  yield* await reachRows(quick ? 10 : 100, await executable());
  yield await takeoverRow(quick ? 3 : 10);
}

/** A cluster of two hosts; a Service and a pod for each round, and on each host somebody who asks for the Service's address all the time. */
async function reachRows(rounds: number, executable: string): Promise<Row[]> {
  const all = await HostCluster.create({ agents: 2, executable });
  const { cluster } = all;
  try {
    await cluster.importImage();
    const names = Array.from({ length: rounds }, (_, i) => `reach-${String(i)}`);
    const addressOf = (i: number): string => `10.43.200.${String(i + 1)}`;
    await cluster.apply(names.map((name, i) => ({ apiVersion: 'v1', kind: 'Service', metadata: { name }, spec: { clusterIP: addressOf(i), selector: { run: name }, ports: [{ port: 80, targetPort: 8080 }] } })));
    const probes = [0, 1].map((i) => cluster.agentHost(i).spawn('reach', 'node', [probe, '80', ...names.map((_, n) => addressOf(n))]));
    await Promise.all(probes.map((one) => one.waitForOutput('ready')));
    await all.follow();
    const reachedAt = (process: (typeof probes)[number], address: string): number => Number(process.output().split('\n').find((line) => line.startsWith(`${address} `))?.split(' ')[1] ?? NaN);
    const [first, last]: [number[], number[]] = [[], []];
    for (const [i, name] of names.entries()) {
      await all.createPods([name]);
      const readyAt = await all.ready(name);
      await eventually(() => probes.every((one) => reachedAt(one, addressOf(i)) > 0), { what: `${name} to be reached on every host`, timeoutMs: 60_000, intervalMs: 5, explain: () => cluster.diagnostics() });
      const times = probes.map((one) => reachedAt(one, addressOf(i)) - readyAt);
      first.push(Math.min(...times));
      last.push(Math.max(...times));
      await all.deletePods([name]);
    }
    const ms = (value: number): number => Number(Math.max(0, value).toFixed(1));
    const note = `median ${String(ms(median(last)))}; on the first host ${String(ms(median(first)))}; ${String(rounds)} pods, one after the other; Ready is when a watch of pods says so`;
    return [{ name: 'network: from pod Ready to an answer through its Service on every host, p99', unit: 'ms', value: ms(percentile(last, 99)), budget: { at: 'most', of: 'value', bound: 300 }, note }];
  } finally {
    await all.destroy();
  }
}

/** Of the host that answers for an address of the pool; the longest time without an answer. */
async function takeoverRow(rounds: number): Promise<Row> {
  const all = await AnnounceHosts.create();
  try {
    const silences: number[] = [];
    for (let i = 0; i < rounds; i++) {
      const lost = await all.soleHolder('one host has the address');
      await eventually(() => all.heard().last === lost.name, { what: 'answers', timeoutMs: 30_000 });
      const since = all.heard().lastMs;
      await lost.crash();
      await eventually(() => !['', lost.name].includes(all.heard(since).last), { what: 'another host answers', timeoutMs: 30_000, intervalMs: 5 });
      silences.push(all.heard(since).longestMs);
      await lost.boot();
      await all.boot(lost);
      const { count } = all.heard();
      await eventually(() => all.heard().count > count + 150, { what: 'answers for three seconds more', timeoutMs: 60_000 });
    }
    return {
      name: 'network: no answers from the address of a load balancer after its host is lost, at most', unit: 'ms', value: Math.max(...silences), budget: { at: 'most', of: 'value', bound: 2000 },
      peer: { name: 'the silence after which a host counts as lost', value: 1300 }, note: `median ${String(median(silences))}, ${String(rounds)} times`,
    };
  } finally {
    await all.destroy();
  }
}
