import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dockerArchive } from '#agent/runtimes/test-docker-archive.ts';
import { helloSpec, hostArchitecture } from '#install/images.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { HostCluster } from '../host-cluster.ts';
import type { Row, RunOptions } from '../row.ts';

const nodes = 5;
const mb = 1e6;

/** What leaves the machine that brings an image to several nodes, as its kernel counts it. Needs root; a minute. */
export async function* run({ quick, executable }: RunOptions): AsyncGenerator<Row> {
  const cluster = await HostCluster.create({ agents: nodes - 1, allInOne: true, executable: await executable() });
  try {
    const host = cluster.cluster.controlPlaneHost;
    // What commands of this host say to the API server, and the little that its own agent does.
    await host.execOk('nft', ['-f', '-'], { input: 'table inet bench-wan { counter sent {}; chain out { type filter hook output priority 0; tcp dport 6443 counter name sent; }\n}\n' });
    const layers = Array.from({ length: 4 }, () => randomBytes((quick ? 5 : 20) << 20));
    const first = await push(cluster, host, 'cargo:1', layers);
    yield row(`an image pushed to ${String(nodes)} nodes`, first, 'the image', first.imageBytes);
    const layer = randomBytes(5 << 20);
    const second = await push(cluster, host, 'cargo:2', [...layers, layer]);
    yield row('another with one more layer', second, 'the layer', layer.length);
  } finally {
    await cluster.destroy();
  }
}

interface Pushed { readonly imageBytes: number; readonly wanBytes: number; readonly ms: number }

async function push({ cluster }: HostCluster, host: LabHost, name: string, layers: readonly Buffer[]): Promise<Pushed> {
  const sent = async (): Promise<number> => Number(/bytes (\d+)/.exec(await host.execOk('nft', ['list', 'counter', 'inet', 'bench-wan', 'sent']))?.[1]);
  const architecture = hostArchitecture();
  const hello = helloSpec(architecture, readFileSync('/bin/busybox'));
  const path = join(cluster.lab.directory, `${name.replace(':', '-')}.tar`);
  writeFileSync(path, dockerArchive(name, architecture, [hello.files, ...layers.map((data, i) => [{ path: `data-${String(i)}`, type: 'file', mode: 0o644, data } as const])], hello.entrypoint));
  const [before, startMs] = [await sent(), performance.now()];
  await cluster.cleat(['image', 'load', path, '--all-nodes'], { timeoutMs: 300_000 });
  return { imageBytes: statSync(path).size, wanBytes: await sent() - before, ms: performance.now() - startMs };
}

function row(what: string, { wanBytes, ms }: Pushed, peer: string, peerBytes: number): Row {
  return {
    name: `bytes over the WAN: ${what}`, unit: 'MB', value: Math.round(wanBytes / mb * 100) / 100, peer: { name: peer, value: Math.round(peerBytes / mb * 100) / 100 },
    budget: { at: 'most', of: 'ratio', bound: 1.05 }, note: `with all headers; ${String(Math.round(ms / 100) / 10)} s`,
  };
}
