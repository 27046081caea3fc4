import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import type { LabHost } from './host.ts';
import { createLab, type Lab } from './lab.ts';
import { serve } from './pod-namespaces.ts';
import type { LabProcess } from './process.ts';

const root = join(import.meta.dirname, '../../..');
const script = (name: string): string => join(import.meta.dirname, name);

/** What a client has heard: by whom last and when, how often, and the longest silence in milliseconds. */
export interface Heard { readonly last: string; readonly lastMs: number; readonly longestMs: number; readonly count: number }

/** Three hosts that agree on who answers for the address of a load balancer, and a client on the same link; each host answers at all of its addresses with its name. */
export class AnnounceHosts {
  static readonly ip = '10.88.0.200';
  readonly lab: Lab;
  readonly hosts: readonly LabHost[];
  readonly client: LabHost;
  readonly agents = new Map<string, LabProcess>();
  readonly #file: string;
  #watch: LabProcess | undefined;

  private constructor(lab: Lab) {
    this.lab = lab;
    this.hosts = [lab.host(0), lab.host(1), lab.host(2)];
    this.client = lab.host(3);
    this.#file = join(lab.directory, 'objects.json');
  }

  static async create(): Promise<AnnounceHosts> {
    const all = new AnnounceHosts(await createLab({ hosts: 4 }));
    await all.describe();
    await Promise.all(all.hosts.map((host) => all.boot(host)));
    all.#watch = all.client.spawn('watch', 'node', [script('net-probe.ts'), 'watch', AnnounceHosts.ip, '8080']);
    return all;
  }

  async destroy(): Promise<void> { await this.lab.destroy(); }

  /** Tells the agents of a Service with the address; with `local`, of one whose traffic stays on the hosts that have its endpoints: these. */
  async describe(local?: readonly string[]): Promise<void> {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    writeFileSync(this.#file, JSON.stringify({
      nodes: this.hosts.map(({ name, address }) => ({ metadata: { name }, status: { addresses: [{ type: 'InternalIP', address }] } })),
      services: [{ metadata: { namespace: 'default', name: 'web' }, spec: { type: 'LoadBalancer', externalTrafficPolicy: local ? 'Local' : 'Cluster' }, status: { loadBalancer: { ingress: [{ ip: AnnounceHosts.ip, ipMode: 'VIP' }] } } }],
      slices: [{ metadata: { namespace: 'default', name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } }, endpoints: (local ?? []).map((nodeName) => ({ addresses: ['10.42.0.1'], nodeName })) }],
      secrets: [{ metadata: { namespace: 'kube-system', name: 'cleat-load-balancer' }, data: { pool: base64('10.88.0.200-10.88.0.210'), key: base64('0123456789abcdef') } }],
    }));
    for (const agent of this.agents.values()) process.kill(await agent.pid(), 'SIGHUP');
  }

  async startAgent(host: LabHost): Promise<void> {
    const agent = host.spawn('speaker', 'node', [script('load-balancer-process.ts'), host.name, '/var/lib/cleat', this.#file], { cwd: root });
    this.agents.set(host.name, agent);
    await agent.waitForOutput('started', 60_000);
  }

  /** The agent, and what answers, of a host that has just been started. */
  async boot(host: LabHost): Promise<void> {
    await serve(host, host.name, 8080);
    await this.startAgent(host);
  }

  async has(host: LabHost): Promise<boolean> {
    return host.running && (await host.execOk('ip', ['address', 'show', 'dev', 'lo'])).includes(`${AnnounceHosts.ip}/32`);
  }

  async holders(): Promise<string[]> {
    return (await Promise.all(this.hosts.map(async (host) => (await this.has(host) ? [host.name] : [])))).flat();
  }

  async soleHolder(what: string): Promise<LabHost> {
    let found: readonly string[] = [];
    await eventually(async () => { found = await this.holders(); return found.length === 1; }, { what, timeoutMs: 30_000, explain: () => [...this.agents.values()].map((agent) => agent.output()).join('\n') });
    return this.lab.host(Number(found[0]?.slice(4)));
  }

  get watch(): LabProcess {
    if (!this.#watch) throw new Error('nobody watches yet');
    return this.#watch;
  }

  /** Since a time of the client's own clock. */
  heard(sinceMs = 0): Heard {
    const lines = this.watch.output().split('\n').flatMap((line) => { const found = /^(\d+) (host\d)/.exec(line); return found ? [[Number(found[1]), found[2] ?? ''] as const] : []; }).filter(([at]) => at >= sinceMs);
    return { last: lines.at(-1)?.[1] ?? '', lastMs: lines.at(-1)?.[0] ?? 0, longestMs: Math.max(0, ...lines.map(([at], i) => at - (lines[i - 1]?.[0] ?? at))), count: lines.length };
  }
}
