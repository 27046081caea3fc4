import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ContainerStateWaiting, Deployment, Event, Node, Pod } from '#api/gen/types.ts';
import { dockerArchive } from '#agent/runtimes/test-docker-archive.ts';
import { openTestRegistry, type TestRegistry } from '#agent/runtimes/test-registry.ts';
import { helloSpec, hostArchitecture, imageArchive } from '#install/images.ts';
import { Cluster } from '../support/cluster.ts';
import { eventually } from '../support/lab/eventually.ts';

let cluster: Cluster;
let registry: TestRegistry | undefined;
const architecture = hostArchitecture();
const hello = helloSpec(architecture, readFileSync('/bin/busybox'));
/** Of a command that brings megabytes to several hosts of a busy machine. */
const slow = { timeoutMs: 120_000 };
const wait = { timeoutMs: 90_000, intervalMs: 100, explain: () => cluster.diagnostics() };

beforeAll(async () => {
  // No test here waits for a host to count as lost; on a busy machine one that is not would, and a push to it break off.
  cluster = await Cluster.create({ agents: 2, allInOne: true, controlPlaneFlags: ['--heartbeat-period=10s', '--node-monitor-grace-period=40s'], agentFlags: ['--image-minimum-gc-age=0s'], prepareHost: async (host) => {
    // Read at the start; the registry comes later.
    await host.execOk('sh', ['-c', 'mkdir -p /etc/cleat && cat > /etc/cleat/registries.yaml'], { input: JSON.stringify({ mirrors: { 'far.example': { endpoint: ['http://127.0.0.1:5000'] } }, configs: { '192.0.2.10:5443': { tls: { insecure_skip_verify: true } } } }) });
  } });
  const host = cluster.controlPlaneHost;
  registry = await openTestRegistry({
    stateDir: cluster.lab.directory, execute: (command, ...args) => host.execOk(command, args),
    launch: (command, ...args) => Promise.resolve(host.spawn(`registry-${String(Math.random()).slice(2)}`, command, args)),
  });
});
afterAll(async () => {
  registry?.close();
  await cluster?.destroy();
});

function pod(name: string, image: string, more: Partial<NonNullable<Pod['spec']>> = {}): Pod {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { nodeName: cluster.controlPlaneHost.name, terminationGracePeriodSeconds: 1, containers: [{ name: 'c', image, command: ['sh', '-c', 'sleep 100000'] }], ...more } };
}
async function waiting(name: string): Promise<ContainerStateWaiting | undefined> {
  return (await cluster.json<Pod>(['get', 'pod', name])).status?.containerStatuses?.[0]?.state?.waiting;
}
async function untilRunning(name: string): Promise<void> {
  await eventually(async () => (await cluster.json<Pod>(['get', 'pod', name])).status?.phase === 'Running', { what: `${name} to run`, ...wait });
}

describe('images from registries', () => {
  it('come with the credentials of a service account, and not without', async () => {
    await registry?.put({ name: 'team/hello:1', architectures: [architecture], files: hello.files });
    const image = `${registry?.secured ?? ''}/team/hello:1`;
    await cluster.apply(pod('without', image));
    await eventually(async () => /^(ErrImagePull|ImagePullBackOff)$/.test((await waiting('without'))?.reason ?? ''), { what: 'the refusal', ...wait });
    const config = JSON.stringify({ auths: { [`https://${registry?.secured ?? ''}/v2/`]: { auth: Buffer.from('tester:secret').toString('base64') } } });
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'pull' }, type: 'kubernetes.io/dockerconfigjson', data: { '.dockerconfigjson': Buffer.from(config).toString('base64') } },
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'puller' }, imagePullSecrets: [{ name: 'pull' }] },
    ]);
    await cluster.apply(pod('with', image, { serviceAccountName: 'puller' }));
    await untilRunning('with');
    const events = (await cluster.json<{ items: Event[] }>(['get', 'events'])).items.filter((event) => event.involvedObject?.name === 'with');
    expect(events.find(({ reason }) => reason === 'Pulled')?.message).toMatch(/^Successfully pulled image ".*team\/hello:1" in \S+ \(\S+ including waiting\)\. Image size: [1-9]\d* bytes\.$/);
    await cluster.apply(pod('mirrored', 'far.example/team/hello:1'));
    await untilRunning('mirrored');
  });

  it('say what they are for when this host is something else', async () => {
    await registry?.put({ name: 'team/other:1', architectures: ['s390x', 'riscv64'], files: hello.files });
    await cluster.apply(pod('other', '127.0.0.1:5000/team/other:1'));
    const said = await eventually(async () => { const state = await waiting('other'); return /^(ErrImagePull|ImagePullBackOff)$/.test(state?.reason ?? '') && state; }, { what: 'the refusal', ...wait });
    expect(said.message).toContain(`wrong architecture: image 127.0.0.1:5000/team/other:1 is for linux/s390x, linux/riscv64, and this host is linux/${architecture}`);
  });

  it('make a pod go elsewhere when its first host cannot run them', async () => {
    const here = cluster.controlPlaneHost.name;
    const other = architecture === 'amd64' ? 'arm64' : 'amd64';
    await registry?.put({ name: 'team/foreign:1', architectures: [other, 's390x'], files: hello.files });
    const on = (...values: string[]) => ({ matchExpressions: [{ key: 'kubernetes.io/hostname', operator: 'In', values }] });
    const affinity = { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [on(here, 'foreign')] }, preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference: on(here) }] } };
    const resources = { cpu: '1', memory: '1Gi', pods: '10' };
    // Nobody runs there: enough that the pod is given to it.
    await cluster.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'foreign', labels: { 'kubernetes.io/arch': other, 'kubernetes.io/hostname': 'foreign' } }, status: { capacity: resources, allocatable: resources } } as Node);
    const { spec } = pod('', '127.0.0.1:5000/team/foreign:1', { affinity, tolerations: [{ operator: 'Exists' }] });
    const { nodeName: _, ...template } = spec ?? { containers: [] };
    await cluster.apply({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'foreign' }, spec: { replicas: 1, selector: { matchLabels: { app: 'foreign' } }, template: { metadata: { labels: { app: 'foreign' } }, spec: template } } } as Deployment);
    await eventually(async () => (await cluster.json<{ items: Pod[] }>(['get', 'pods', '-l', 'app=foreign'])).items.some((one) => one.spec?.nodeName === 'foreign'), { what: 'the pod to be elsewhere', ...wait });
    const events = await eventually(async () => {
      const found = (await cluster.json<{ items: Event[] }>(['get', 'events'])).items.filter(({ reason }) => reason === 'ImageNotForNode');
      return found.length > 0 && found;
    }, { what: 'the Event', ...wait });
    expect(events.map(({ message }) => message)).toEqual([`Deleted, for its owner to make it anew: image 127.0.0.1:5000/team/foreign:1 is not made for the architecture of node ${here} (${architecture}); foreign can have the pod`]);
    await cluster.kubectl(['delete', 'deployment/foreign', 'node/foreign', '--wait=false']);
  });
});

describe('cleat image', () => {
  const listed = async (node: string): Promise<string[]> => (await cluster.cleat(['image', 'list', '--node', node, '--no-headers'])).split('\n').filter((line) => line.includes('cargo'));

  it('loads an archive, passes it on to another node, keeps it, and prunes it when told to', async () => {
    const [one, two] = [cluster.controlPlaneHost.name, cluster.agentHost(0).name];
    const archive = join(cluster.lab.directory, 'cargo.tar');
    writeFileSync(archive, imageArchive({ ...hello, name: 'docker.io/library/cargo:1' }));
    expect(await cluster.cleat(['image', 'load', archive, '--node', one])).toMatch(new RegExp(`^docker\\.io/library/cargo:1 loaded on ${one} \\(\\d+\\.\\dMiB (there before|from this machine)\\)\n$`));
    expect(await listed(one)).toEqual([expect.stringMatching(/docker\.io\/library\/cargo:1 +[0-9a-f]{12} +\d+\.\dMiB +loaded$/)]);
    await expect(cluster.cleat(['image', 'load', archive])).rejects.toThrow('say on which nodes: --node NAME,... or --all-nodes');

    const passed = await cluster.cleat(['image', 'push', 'cargo:1', '--from', one, '--all-nodes'], slow);
    expect(passed).toMatch(new RegExp(`^docker\\.io/library/cargo:1 loaded on ${two} \\(\\d+\\.\\dMiB (there before|from host\\S*)\\)$`, 'm'));
    expect(passed).toContain('0.0MiB left this machine for 2 nodes\n');
    await cluster.apply({ ...pod('cargo', 'cargo:1'), spec: { ...pod('cargo', 'cargo:1').spec, nodeName: two } as Pod['spec'] });
    await untilRunning('cargo');

    expect(await cluster.cleat(['image', 'prune', '--node', one])).not.toContain('cargo');
    expect(await cluster.cleat(['image', 'prune', '--all-nodes', '--loaded', '--dry-run'])).toMatch(new RegExp(`cargo:1 \\(\\d+\\.\\dMiB\\) would be removed from ${one}\n`));
    expect(await listed(one)).toHaveLength(1);
    expect(await cluster.cleat(['image', 'prune', '--all-nodes', '--loaded'])).toMatch(new RegExp(`cargo:1 \\(\\d+\\.\\dMiB\\) removed from ${one}\n`));
    // A pod needs it there.
    expect([await listed(one), await listed(two)]).toEqual([[], [expect.stringMatching(/pods, loaded$/)]]);
  });

  interface Pushed { readonly sentBytes: number; readonly nodes: readonly { readonly node: string; readonly names: readonly string[]; readonly hadBytes: number; readonly fromHereBytes: number; readonly fromNodes: Readonly<Record<string, number>>; readonly notes: readonly string[]; readonly whole?: string; readonly error?: string }[] }
  const load = async (path: string): Promise<Pushed> => JSON.parse(await cluster.cleat(['image', 'load', path, '--all-nodes', '-o', 'json'], slow)) as Pushed;
  /** An archive as Docker 20.10 saves one: layers of random bytes, the program last. */
  const layered = (name: string, layers: readonly Buffer[]): string => {
    const path = join(cluster.lab.directory, `${name.replace(':', '-')}.tar`);
    writeFileSync(path, dockerArchive(name, architecture, [...layers.map((data, i) => [{ path: `data-${String(i)}`, type: 'file', mode: 0o644, data } as const]), hello.files], hello.entrypoint));
    return path;
  };

  it('sends a layer once for three nodes, which hand it on, and sends none that is there', async () => {
    const host = cluster.controlPlaneHost;
    // What commands of this host say to the API server, and the little that its agent does.
    await host.execOk('nft', ['-f', '-'], { input: 'table inet test-wan { counter sent {}; chain out { type filter hook output priority 0; tcp dport 6443 counter name sent; }\n}\n' });
    const sent = async (): Promise<number> => Number(/bytes (\d+)/.exec(await host.execOk('nft', ['list', 'counter', 'inet', 'test-wan', 'sent']))?.[1]);
    try {
      const base = [randomBytes(3 << 20), randomBytes(2 << 20)];
      const first = layered('lading:1', base);
      const before = await sent();
      const { sentBytes, nodes } = await load(first);
      const imageBytes = statSync(first).size;
      expect((await sent() - before) / imageBytes).toBeLessThan(1.05);
      expect(nodes.map(({ names, notes, whole, error }) => [names, notes, whole, error])).toEqual(nodes.map(() => [['docker.io/library/lading:1'], [], undefined, undefined]));
      const total = ({ hadBytes, fromHereBytes, fromNodes }: Pushed['nodes'][number]): number => hadBytes + fromHereBytes + Object.values(fromNodes).reduce((a, b) => a + b, 0);
      const blobBytes = total(nodes[0] as Pushed['nodes'][number]);
      expect(nodes.map(total)).toEqual(nodes.map(() => blobBytes));
      expect(sentBytes).toBeGreaterThan(5 << 20);

      const layer = randomBytes(200_000);
      const second = await load(layered('lading:2', [...base, layer]));
      expect(second.sentBytes).toBeGreaterThan(layer.length);
      expect(second.sentBytes).toBeLessThan(layer.length + 5000);
      expect(second.nodes.map(({ hadBytes, names }) => [hadBytes, names])).toEqual(nodes.map(() => [blobBytes, ['docker.io/library/lading:2']]));
      await cluster.apply({ ...pod('lading', 'lading:2'), spec: { ...pod('lading', 'lading:2').spec, nodeName: cluster.agentHost(1).name } as Pod['spec'] });
      await untilRunning('lading');
    } finally {
      await host.execOk('nft', ['delete', 'table', 'inet', 'test-wan']);
    }
  });

  it('goes the long way where nodes cannot reach each other, and says so', async () => {
    const far = cluster.agentHost(0);
    await far.execOk('nft', ['-f', '-'], { input: 'table inet test-wan { chain in { type filter hook input priority 0; tcp flags syn / syn,ack,rst tcp dport 32768-60999 reject; }\n}\n' });
    try {
      const { nodes } = await load(layered('lading:3', [randomBytes(200_000), randomBytes(200_000), randomBytes(200_000), randomBytes(200_000)]));
      expect(nodes.map(({ names }) => names)).toEqual(nodes.map(() => ['docker.io/library/lading:3']));
      expect(nodes.flatMap(({ fromNodes }) => Object.keys(fromNodes))).not.toContain(far.name);
      for (const { notes } of nodes) for (const note of notes) expect(note).toContain(`node ${far.name} cannot be reached from here: `);
    } finally {
      await far.execOk('nft', ['delete', 'table', 'inet', 'test-wan']);
    }
  });

  it('brings the image to a node whose agent is killed halfway, when that is back, and leaves nothing behind', async () => {
    const killed = cluster.agentHost(0);
    const pushing = load(layered('lading:4', [randomBytes(6 << 20), randomBytes(6 << 20)]));
    pushing.catch(() => undefined);
    await eventually(async () => (await killed.exec('ls', ['/var/lib/cleat/agent/blobs'])).exitCode === 0, { what: 'the first bytes', ...wait, intervalMs: 20 });
    await cluster.stopAgent(0, 'SIGKILL');
    cluster.startAgent(0);
    expect((await pushing).nodes.map(({ names, error }) => [names, error])).toEqual(cluster.nodeNames.map(() => [['docker.io/library/lading:4'], undefined]));
    for (const name of cluster.nodeNames) expect(await cluster.cleat(['image', 'list', '--node', name])).toContain('lading:4');
    expect((await killed.exec('ls', ['-R', '/var/lib/cleat/agent/blobs'])).exitCode).not.toBe(0);
  });

  it('takes packed archives from standard input, and refuses what a node cannot run, or what is no image', async () => {
    const node = cluster.controlPlaneHost.name;
    const archive = join(cluster.lab.directory, 'other.tar');
    writeFileSync(archive, imageArchive({ ...hello, name: 'docker.io/library/cargo:2', architecture: 's390x' as 'amd64' }));
    const words = 'wrong architecture: ';
    await expect(cluster.cleat(['image', 'load', archive, '--node', node])).rejects.toThrow(`${words}the archive is for linux/s390x, and node ${node} is linux/${architecture}`);
    await expect(cluster.cleat(['image', 'load', '-', '--node', node], { input: readFileSync(archive) })).rejects.toThrow(`${words}image docker.io/library/cargo:2 is for linux/s390x, and this host is linux/${architecture}`);
    await expect(cluster.cleat(['image', 'load', '-', '--node', node], { input: 'x'.repeat(5000) })).rejects.toThrow(`node ${node}: `);
    expect(await listed(node)).toEqual([]);
    const { gzipSync } = await import('node:zlib');
    expect(await cluster.cleat(['image', 'load', '-', '--node', node], { input: gzipSync(imageArchive({ ...hello, name: 'docker.io/library/cargo:3' })) })).toContain(`docker.io/library/cargo:3 loaded on ${node} `);
  });
});
