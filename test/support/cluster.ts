import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Node } from '#api/gen/types.ts';
import type { ExecResult } from '#common/exec.ts';
import { containerdPaths } from '#agent/runtimes/containerd/paths.ts';
import { helloImage, helloSpec, hostArchitecture, imageArchive, type ImageSpec } from '#install/images.ts';
import { eventually } from './lab/eventually.ts';
import type { HostExecOptions, LabHost } from './lab/host.ts';
import { createLab, type Lab } from './lab/lab.ts';
import type { Exit, LabProcess } from './lab/process.ts';

export interface ClusterConfig {
  /** Hosts that run an agent. The control plane has a host of its own (host 0 of the lab), unless `allInOne`. */
  readonly agents: number;
  /** `cleat up` on host 0: control plane and agent in one process; `agents` counts the others. */
  readonly allInOne?: boolean;
  readonly controlPlaneFlags?: readonly string[];
  readonly agentFlags?: readonly string[];
  /** Environment of every cleat process. */
  readonly env?: Readonly<Record<string, string>>;
  /** Of each host. */
  readonly memoryBytes?: number;
  /** What runs instead of the checkout's own `cleat`. */
  readonly executable?: string;
  /** Done on every host before anything of Cleat runs there. */
  readonly prepareHost?: (host: LabHost) => Promise<void>;
  /** Segments of the lab's network, with a router between; see LabConfig. */
  readonly links?: number;
}

const root = join(import.meta.dirname, '../..');
const checkout = join(root, 'cleat');
const kubeconfig = '/etc/cleat/kubeconfig';
/** Silence after which a host counts as lost. */
export const graceMs = 6000;
const fastDetection = ['--heartbeat-period=1s', `--node-monitor-grace-period=${String(graceMs)}ms`];

/** For the pods of a test about lost hosts: they are replaced soon. All others stay where they are, however slow the machine is at the moment. */
export const leaveSoon = ['not-ready', 'unreachable'].map((key) => ({ key: `node.kubernetes.io/${key}`, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 2 }));

/**
 * A cluster of real processes on the hosts of a lab, driven with stock kubectl. Lost nodes are detected in seconds,
 * not in a minute, unless `controlPlaneFlags` say otherwise (later flags win); their pods stay for five minutes all the
 * same, but for those that `leaveSoon`.
 */
export class Cluster {
  readonly lab: Lab;
  readonly #config: ClusterConfig;
  #controlPlane: LabProcess | undefined;
  readonly #agents = new Map<number, LabProcess>();

  private constructor(lab: Lab, config: ClusterConfig) {
    this.lab = lab;
    this.#config = config;
  }

  /** Starts everything and waits until every node is Ready. On failure the logs are in the error. */
  static async create(config: ClusterConfig): Promise<Cluster> {
    const lab = await createLab({ hosts: 1 + config.agents, uplink: true, links: config.links ?? 1, ...(config.memoryBytes !== undefined && { memoryBytes: config.memoryBytes }) });
    const cluster = new Cluster(lab, config);
    try {
      if (config.prepareHost) await Promise.all(lab.hosts.map(config.prepareHost));
      await cluster.startControlPlane();
      const token = config.agents > 0 ? await cluster.createToken() : '';
      for (let i = 0; i < config.agents; i++) cluster.startAgent(i, token);
      await cluster.waitForNodes();
      return cluster;
    } catch (error) {
      const explanation = await cluster.diagnostics();
      await lab.destroy();
      throw new Error(`the cluster did not start: ${error instanceof Error ? error.message : String(error)}\n${explanation}`, { cause: error });
    }
  }

  get controlPlaneHost(): LabHost { return this.lab.host(0); }
  get server(): string { return `https://${this.controlPlaneHost.address}:6443`; }
  get controlPlane(): LabProcess | undefined { return this.#controlPlane; }

  /** Host of agent `index`, counted from 0. */
  agentHost(index: number): LabHost { return this.lab.host(index + 1); }
  agent(index: number): LabProcess | undefined { return this.#agents.get(index); }
  /** Names of all nodes that should be there. */
  get nodeNames(): string[] {
    const agents = Array.from({ length: this.#config.agents }, (_, i) => this.agentHost(i).name);
    return this.#config.allInOne === true ? [this.controlPlaneHost.name, ...agents] : agents;
  }

  /** Starts (again) the control plane, or `cleat up`, and waits until it is ready. */
  async startControlPlane(moreFlags: readonly string[] = []): Promise<void> {
    const process_ = this.spawnControlPlane(moreFlags);
    await eventually(async () => {
      if (!process_.running) return 'ended';
      return (await this.kubectlResult(['get', '--raw', '/readyz'], { timeoutMs: 5000 })).exitCode === 0;
    }, { what: 'the control plane to be ready', timeoutMs: 120_000, intervalMs: 50, explain: () => process_.output().slice(-8000) });
    if (!process_.running) throw new Error(`the control plane ended: ${JSON.stringify(await process_.exited)}\n${process_.output().slice(-8000)}`);
  }

  /** Starts (again) the control plane, or `cleat up`, and waits for nothing. */
  spawnControlPlane(moreFlags: readonly string[] = []): LabProcess {
    const host = this.controlPlaneHost;
    const verb = this.#config.allInOne === true ? ['up', `--node-name=${host.name}`, `--node-ip=${host.address}`, ...this.#config.agentFlags ?? []] : ['controlplane'];
    const flags = [`--advertise-address=${host.address}`, '--log-level=info', ...fastDetection, ...this.#config.controlPlaneFlags ?? [], ...moreFlags];
    return this.#controlPlane = host.spawn('controlplane', this.#executable, [...verb, ...flags], this.#spawnOptions());
  }

  /** Signals the control plane and waits for its end. */
  async stopControlPlane(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit | undefined> {
    return this.#controlPlane?.kill(signal);
  }

  /** A token is needed only the first time on a host. */
  startAgent(index: number, token?: string): LabProcess {
    const host = this.agentHost(index);
    const flags = [
      `--server=${this.server}`, ...(token === undefined ? [] : [`--token=${token}`]),
      `--node-name=${host.name}`, `--node-ip=${host.address}`, '--log-level=info', ...this.#config.agentFlags ?? [],
    ];
    const process_ = host.spawn('agent', this.#executable, ['agent', ...flags], this.#spawnOptions());
    this.#agents.set(index, process_);
    return process_;
  }

  async stopAgent(index: number, signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit | undefined> {
    return this.#agents.get(index)?.kill(signal);
  }

  async createToken(): Promise<string> {
    return (await this.cleat(['token', 'create', '--token-only'])).trim();
  }

  /** Waits until exactly the expected nodes are there, Ready. */
  async waitForNodes(timeoutMs = 60_000): Promise<void> {
    const wanted = [...this.nodeNames].sort().join(' ');
    await eventually(async () => {
      const { items } = await this.json<{ items: Node[] }>(['get', 'nodes']);
      const ready = items.filter((n) => n.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True'));
      return ready.map((n) => n.metadata?.name ?? '').sort().join(' ') === wanted;
    }, { what: `nodes ${wanted} to be Ready`, timeoutMs, intervalMs: 100, explain: () => this.diagnostics() });
  }

  /** Stock kubectl as the administrator, on the control plane's host. Returns standard output; a failure throws with both streams. */
  async kubectl(args: readonly string[], options: HostExecOptions & { kubectl?: string } = {}): Promise<string> {
    const result = await this.kubectlResult(args, options);
    if (result.exitCode !== 0) throw new Error(`kubectl ${args.join(' ')} exited with ${String(result.exitCode)}: ${result.stderr}${result.stdout}`);
    return result.stdout;
  }

  async kubectlResult(args: readonly string[], options: HostExecOptions & { kubectl?: string } = {}): Promise<ExecResult> {
    const { kubectl = 'kubectl', ...rest } = options;
    return this.controlPlaneHost.exec(kubectl, args, { timeoutMs: 60_000, ...rest, env: { KUBECONFIG: kubeconfig, ...rest.env } });
  }

  /** `kubectl ARGS -o json`, parsed. */
  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.kubectl([...args, '-o', 'json'], { maxBytes: 64 << 20 })) as T;
  }

  /** `kubectl apply` of objects or YAML text. */
  async apply(manifest: string | object | readonly object[]): Promise<string> {
    const input = typeof manifest === 'string' ? manifest
      : JSON.stringify(Array.isArray(manifest) ? { apiVersion: 'v1', kind: 'List', items: manifest as unknown[] } : manifest);
    return this.kubectl(['apply', '-f', '-'], { input });
  }

  /** Our own command line on the control plane's host. */
  async cleat(args: readonly string[], options: HostExecOptions = {}): Promise<string> {
    return this.controlPlaneHost.execOk(this.#executable, args, { ...options, env: { KUBECONFIG: kubeconfig, ...options.env } });
  }

  /** Puts an image into the containerd of every host that runs pods; no registry is needed. Default: the examples' image. Returns its name. */
  async importImage(spec?: ImageSpec): Promise<string> {
    const image = spec ?? helloSpec(hostArchitecture(), readFileSync('/bin/busybox'));
    const archive = join(this.lab.directory, `${(spec?.name ?? helloImage).replaceAll(/[^a-z0-9]+/g, '-')}.tar`);
    writeFileSync(archive, imageArchive(image));
    const hosts = this.lab.hosts.filter((h) => this.nodeNames.includes(h.name));
    await Promise.all(hosts.map(async (h) => {
      await h.execOk('ctr', ['-a', this.containerdSocket, '-n', 'k8s.io', 'images', 'import', archive], { timeoutMs: 60_000 });
    }));
    return image.name;
  }

  /** Socket of the containerd that an agent runs, as its host sees it. */
  get containerdSocket(): string {
    return containerdPaths('/var/lib/cleat').socket;
  }

  /** Ids of the running containers of one host, sorted: what must survive an agent's restart. */
  async runningContainers(host: LabHost): Promise<string[]> {
    const tasks = await host.execOk('ctr', ['-a', this.containerdSocket, '-n', 'k8s.io', 'tasks', 'ls']);
    return tasks.split('\n').slice(1).filter((line) => line.includes('RUNNING')).map((line) => line.split(/\s+/)[0] ?? '').sort();
  }

  /** Power-cut of an agent's host, in effect: all processes and containers gone, the disk kept. The agent is not started again. */
  async crashAgentHost(index: number): Promise<void> {
    await this.agentHost(index).crash();
    await this.agentHost(index).boot();
  }

  /** What a person needs to see when a test failed. */
  async diagnostics(): Promise<string> {
    const parts: string[] = [];
    for (const args of [['get', 'nodes,pods,services,endpointslices,deployments,replicasets', '-A', '-o', 'wide'], ['get', 'events', '-A'], ['describe', 'nodes']]) {
      if (!this.controlPlaneHost.running || this.#controlPlane?.running !== true) break;
      const result = await this.kubectlResult(args, { timeoutMs: 10_000 }).catch(() => undefined);
      parts.push(`$ kubectl ${args.join(' ')}\n${result?.stdout ?? ''}${result?.stderr ?? ''}`);
    }
    for (const process_ of [this.#controlPlane, ...this.#agents.values()]) {
      if (process_) parts.push(`--- ${process_.logPath}${process_.running ? '' : ' (ended)'}\n${process_.output().slice(-6000)}`);
    }
    return parts.join('\n');
  }

  async destroy(): Promise<void> {
    await this.lab.destroy();
  }

  get #executable(): string {
    return this.#config.executable ?? checkout;
  }

  #spawnOptions(): { env: Record<string, string>; cwd: string } {
    return { env: { ...this.#config.env }, cwd: root };
  }
}
