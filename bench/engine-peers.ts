import { readFile, writeFile } from 'node:fs/promises';
import { helloImage, helloSpec, hostArchitecture, imageArchive, pauseImage, pauseSpec } from '#install/images.ts';
import type { Cluster } from '#test/support/cluster.ts';

/** How the same containers start and end when the engine's own command line is told to. */
export interface EnginePeer {
  readonly name: string;
  /** A pause and an app container for each of `count` pods. Resolves with the time until all run, and from then until all are gone. */
  run(count: number): Promise<{ readonly startMs: number; readonly endMs: number }>;
}

export type Runtime = 'cri' | 'ctr' | 'docker';

/** Gives the engine the two images that Cleat makes; Docker must have them. */
export async function openPeer(runtime: Runtime, cluster: Cluster): Promise<EnginePeer> {
  if (runtime === 'docker') return new Peer('docker run of the same containers', cluster, {}, dockerScript);
  const env = { CONTAINERD_ADDRESS: runtime === 'cri' ? cluster.containerdSocket : '/run/containerd/containerd.sock' };
  for (const image of [pauseSpec(hostArchitecture()), helloSpec(hostArchitecture(), await readFile('/bin/busybox'))]) {
    await writeFile(cluster.controlPlaneHost.path('/var/lib/cleat/peer.tar'), imageArchive(image));
    await cluster.controlPlaneHost.sh('ctr -n bench images import /var/lib/cleat/peer.tar; rm /var/lib/cleat/peer.tar', { env, timeoutMs: 120_000 });
  }
  // Where `ctr run --cni` looks for a network; in this host's own view of its files.
  await writeFile(cluster.controlPlaneHost.path('/var/lib/cleat/peer-network'), JSON.stringify(peerNetwork));
  // It gives none back when it has not waited for the end, so that is done in its stead.
  const { plugins: [plugin], ...network } = peerNetwork;
  await writeFile(cluster.controlPlaneHost.path('/var/lib/cleat/peer-plugin'), JSON.stringify({ ...network, ...plugin }));
  await cluster.controlPlaneHost.sh('for d in /opt /etc/cni; do mkdir -p $d; mount -t tmpfs tmpfs $d; done; mkdir -p /opt/cni /etc/cni/net.d; ln -s /usr/lib/cni /opt/cni/bin; cp /var/lib/cleat/peer-network /etc/cni/net.d/10-bench.conflist');
  return new Peer('ctr run of the same containers', cluster, env, ctrScript);
}

/** As a pod's. */
const peerNetwork = {
  cniVersion: '0.4.0', name: 'bench', plugins: [
    { type: 'ptp', ipMasq: false, ipam: { type: 'host-local', ranges: [[{ subnet: '10.99.0.0/16' }]], routes: [{ dst: '0.0.0.0/0' }] } },
  ],
};

/** Each is given the numbers of the pods, tells times in nanoseconds, and leaves nothing. */
const ctrScript = (numbers: string, count: number): string => `
  start=$(date +%s%N)
  for i in ${numbers}; do { ctr -n bench run --cni --pid-file /run/bench-pid$i -d ${pauseImage} pause$i && ctr -n bench run --with-ns network:/proc/$(cat /run/bench-pid$i)/ns/net -d ${helloImage} app$i; } & done; wait
  end=$(date +%s%N)
  [ $(ctr -n bench tasks ls | grep -c RUNNING) = ${String(2 * count)} ] || { echo "not all containers run" >&2; exit 1; }
  stop=$(date +%s%N)
  for i in ${numbers}; do {
    ctr -n bench tasks rm -f app$i; ctr -n bench containers rm app$i
    CNI_COMMAND=DEL CNI_CONTAINERID=bench-pause$i CNI_NETNS=/proc/$(cat /run/bench-pid$i)/ns/net CNI_IFNAME=eth0 CNI_PATH=/usr/lib/cni /usr/lib/cni/ptp < /var/lib/cleat/peer-plugin || echo "no network given back" > /run/bench-failed
    ctr -n bench tasks rm -f pause$i; ctr -n bench containers rm pause$i; rm /run/bench-pid$i
  } & done >/dev/null 2>&1; wait
  gone=$(date +%s%N)
  # A task whose shim is slow to write its end down is "not found" to the first attempt.
  for attempt in 1 2 3; do for c in $(ctr -n bench containers ls -q); do ctr -n bench tasks rm -f $c; ctr -n bench containers rm $c; done; done >/dev/null 2>&1 || :
  [ ! -e /run/bench-failed ] || { cat /run/bench-failed >&2; exit 1; }
  [ -z "$(ctr -n bench containers ls -q)" ] || { echo "containers cannot be removed" >&2; exit 1; }
  echo $((end - start)) $((gone - stop))`;

const dockerScript = (numbers: string, count: number): string => `
  start=$(date +%s%N)
  for i in ${numbers}; do { docker run -d --name bench-pause$i ${pauseImage} && docker run -d --name bench-app$i --network container:bench-pause$i ${helloImage}; } >/dev/null & done; wait
  end=$(date +%s%N)
  [ $(docker ps -q --filter name=bench- | wc -l) = ${String(2 * count)} ] || { echo "not all containers run" >&2; exit 1; }
  stop=$(date +%s%N)
  for i in ${numbers}; do docker rm -f bench-app$i bench-pause$i >/dev/null & done; wait
  gone=$(date +%s%N)
  echo $((end - start)) $((gone - stop))`;

class Peer implements EnginePeer {
  readonly name: string;
  readonly #cluster: Cluster;
  readonly #env: Readonly<Record<string, string>>;
  readonly #script: typeof ctrScript;
  #made = 0;

  constructor(name: string, cluster: Cluster, env: Readonly<Record<string, string>>, script: typeof ctrScript) {
    this.name = name;
    this.#cluster = cluster;
    this.#env = env;
    this.#script = script;
  }

  async run(count: number): Promise<{ readonly startMs: number; readonly endMs: number }> {
    // Names of their own each time: what an engine still cleans up after the last of a name it would take from the next.
    const numbers = Array.from({ length: count }, () => String(this.#made++)).join(' ');
    const out = await this.#cluster.controlPlaneHost.sh(this.#script(numbers, count), { env: this.#env, timeoutMs: 300_000 });
    const [startNs = NaN, endNs = NaN] = (out.trim().split('\n').at(-1) ?? '').split(' ').map(Number);
    return { startMs: startNs / 1e6, endMs: endNs / 1e6 };
  }
}
