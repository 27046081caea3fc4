import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Node } from '#api/gen/types.ts';
import type { CheckResult, NetworkStatus, PeerStatus } from '#agent/network/types.ts';
import { eventually } from './eventually.ts';
import type { LabHost } from './host.ts';
import type { Lab } from './lab.ts';
import type { LabProcess } from './process.ts';

const harness = join(import.meta.dirname, 'pod-network-process.ts');
const servedBytes = 300_000;

/** Each host of a lab with its pod network alone, and what the control plane does for it: handing every node's word on to all. */
export class NetworkHosts {
  readonly lab: Lab;
  /** Of the nodes, by host. */
  readonly addresses: string[];
  /** Where the control plane sees each host; empty for its own address. */
  readonly seenAt: string[] = [];
  readonly #file: string;
  readonly #processes: LabProcess[] = [];

  constructor(lab: Lab) {
    this.lab = lab;
    this.addresses = lab.hosts.map((host) => host.address);
    this.#file = join(lab.directory, 'nodes.json');
  }

  async start(): Promise<void> {
    await this.publish();
    for (const i of this.lab.hosts.keys()) this.#processes.push(this.#spawn(i));
    for (const p of this.#processes) await p.waitForOutput('"msg":"ready"', 60_000);
  }

  /** Without a goodbye. */
  async restart(i: number): Promise<void> {
    await this.process(i).kill('SIGKILL');
    this.#processes[i] = this.#spawn(i);
    await this.process(i).waitForOutput('"msg":"ready"', 60_000);
  }

  process(i: number): LabProcess {
    const found = this.#processes[i];
    if (!found) throw new Error(`host ${String(i)} runs nothing`);
    return found;
  }

  /** `gone`: a host that is no node any more. */
  async publish(gone?: number): Promise<void> {
    const nodes: Node[] = this.addresses.map((address, i): Node => ({
      metadata: { name: `host${String(i)}`, annotations: { ...this.#told(i), ...(this.seenAt[i] && { 'cleat.dev/seen-at': this.seenAt[i] }) } },
      spec: { podCIDRs: [`10.42.${String(i)}.0/24`, `fd42:0:0:${String(i)}::/64`] }, status: { addresses: [{ type: 'InternalIP', address }] },
    })).filter((_node, i) => i !== gone);
    const text = JSON.stringify(nodes);
    if (existsSync(this.#file) && readFileSync(this.#file, 'utf8') === text) return;
    writeFileSync(`${this.#file}.new`, text);
    renameSync(`${this.#file}.new`, this.#file);
    for (const p of this.#processes) process.kill(await p.pid(), 'SIGHUP');
  }

  async status(i: number): Promise<readonly PeerStatus[]> {
    return (await this.#ask<NetworkStatus>(i, 'SIGUSR1', 'status')).peers;
  }

  async check(i: number): Promise<readonly CheckResult[]> {
    return (await this.#ask<{ findings: CheckResult[] }>(i, 'SIGUSR2', 'checked')).findings;
  }

  /** Waits until the host tells of its peers so. */
  async sees(i: number, matches: (peers: readonly PeerStatus[]) => unknown): Promise<void> {
    await eventually(async () => {
      await this.publish();
      matches(await this.status(i));
      return true;
    }, { what: `host ${String(i)} to reach its peers so`, timeoutMs: 60_000, intervalMs: 200, explain: () => this.process(i).output().slice(-3000) });
  }

  /** A pod, which serves some 300 KB. */
  async pod(i: number, name: string): Promise<void> {
    const host = this.lab.host(i);
    const list = JSON.parse(readFileSync(join(host.stateDirectory, 'cni/net.d/10-cleat.conflist'), 'utf8')) as { cniVersion: string; name: string; plugins: object[] };
    await host.execOk('ip', ['netns', 'add', name]);
    await host.execOk('/usr/lib/cni/ptp', [], {
      input: JSON.stringify({ cniVersion: list.cniVersion, name: list.name, ...list.plugins[0] }),
      env: { CNI_COMMAND: 'ADD', CNI_CONTAINERID: name, CNI_NETNS: `/run/netns/${name}`, CNI_IFNAME: 'eth0', CNI_PATH: '/usr/lib/cni' },
    });
    await host.sh(`head -c ${String(servedBytes)} /dev/zero > /run/${name}.bin; setsid ip netns exec ${name} busybox nc -ll -p 9000 -e cat /run/${name}.bin >/dev/null 2>&1 &`);
  }

  /** Waits until the pod gets all that a pod at the address serves. */
  async fetches(i: number, pod: string, address: string, timeoutMs = 40_000): Promise<void> {
    const program = `let n = 0; const end = () => { console.log(n); process.exit(); }; require('net').connect(9000, '${address}').on('error', end).on('data', (d) => { if ((n += d.length) >= ${String(servedBytes)}) end(); }); setTimeout(end, 3000)`;
    const host: LabHost = this.lab.host(i);
    await eventually(async () => Number((await host.exec('ip', ['netns', 'exec', pod, 'node', '-e', program])).stdout.trim()) === servedBytes, {
      what: `${pod} to get all from ${address}`, timeoutMs, explain: () => this.process(i).output().slice(-3000),
    });
  }

  #spawn(i: number): LabProcess {
    const host = this.lab.host(i);
    return host.spawn('pod-network', 'node', [harness, `host${String(i)}`, host.stateDirectory, this.#file]);
  }

  #told(i: number): Record<string, string> {
    const path = `${this.#file}.host${String(i)}`;
    try {
      return existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')) as Record<string, string> : {};
    } catch {
      return {}; // it is being written
    }
  }

  async #ask<T>(i: number, signal: 'SIGUSR1' | 'SIGUSR2', msg: string): Promise<T> {
    const p = this.process(i);
    const before = p.output().length;
    process.kill(await p.pid(), signal);
    const found = await eventually(() => p.output().slice(before).split('\n').find((text) => text.endsWith('}') && text.includes(`"msg":"${msg}"`)), { what: msg, timeoutMs: 60_000 });
    return JSON.parse(found) as T;
  }
}
