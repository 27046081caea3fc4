import { startDocker, startPlainContainerd } from '#test/support/lab/engines.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { openPeer, type EnginePeer, type Runtime } from '../engine-peers.ts';
import { HostCluster } from '../host-cluster.ts';
import { median, type Row, type RunOptions } from '../row.ts';

/** What an engine needs before Cleat runs on it; the containerd of `cri` is Cleat's own. */
const prepare: Readonly<Record<Runtime, (host: LabHost) => Promise<void>>> = {
  cri: () => Promise.resolve(),
  ctr: async (host) => { await startPlainContainerd(host); },
  docker: async (host) => { await startPlainContainerd(host); await startDocker(host); },
};

interface Times { readonly startMs: number; readonly endMs: number }

/** Pods that start and end, by each runtime, beside the engine's own command line. Needs root; about 8 minutes, `quick`: 3. */
export async function* run({ quick, executable }: RunOptions): AsyncGenerator<Row> {
  for (const runtime of ['cri', 'ctr', 'docker'] as const) {
    const cluster = await HostCluster.create({ agents: 0, allInOne: true, agentFlags: [`--runtime=${runtime}`], prepareHost: prepare[runtime], executable: await executable() });
    try {
      await cluster.follow();
      // The first pod makes the images that the engine is then asked for.
      await ours(cluster, ['warm']);
      const peer = await openPeer(runtime, cluster.cluster);
      for (const { count, rounds } of [{ count: 1, rounds: quick ? 3 : 7 }, { count: 20, rounds: quick ? 1 : 5 }, { count: 100, rounds: quick ? 1 : 3 }]) yield* await rows(runtime, cluster, peer, count, rounds);
    } finally {
      await cluster.destroy();
    }
  }
}

async function rows(runtime: Runtime, cluster: HostCluster, peer: EnginePeer, count: number, rounds: number): Promise<Row[]> {
  const mine: Times[] = [];
  const theirs: Times[] = [];
  for (let i = 0; i < rounds; i++) {
    mine.push(await ours(cluster, Array.from({ length: count }, (_, n) => `bench-${String(count)}-${String(i)}-${String(n)}`)));
    theirs.push(await peer.run(count));
  }
  const what = count === 1 ? 'one pod' : `${String(count)} pods at once`;
  const row = (name: string, of: (times: Times) => number): Row => ({
    name: `${runtime}: ${name} of ${what}`, unit: 'ms', value: Math.round(median(mine.map(of))), peer: { name: peer.name, value: Math.round(median(theirs.map(of))) },
    budget: { at: 'most', of: 'ratio', bound: 1.3 },
  });
  return [
    row('create → Running', ({ startMs }) => startMs),
    row('delete → gone', ({ endMs }) => endMs),
  ];
}

async function ours(cluster: HostCluster, names: readonly string[]): Promise<Times> {
  const created = performance.now();
  await cluster.createPods(names);
  await cluster.running(names);
  const running = performance.now();
  await cluster.deletePods(names);
  return { startMs: running - created, endMs: performance.now() - running };
}
