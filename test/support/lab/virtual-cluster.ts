import { join } from 'node:path';
import type { KubeObject } from '#api/meta/object.ts';
import type { Event, Pod } from '#api/gen/types.ts';
import { execOk } from '#common/exec.ts';
import { eventually } from './eventually.ts';
import { VirtualLab, type VirtualHost } from './virtual-host.ts';

const root = join(import.meta.dirname, '../../..');

export interface VirtualClusterConfig {
  readonly hosts: number;
  readonly memoryMegabytes?: number;
  readonly kernelArguments?: readonly string[];
  /** Flags of every host's agent, as its configuration file has them. */
  readonly agent?: Readonly<Record<string, string>>;
}

/** Cleat on virtual hosts, by its installer and its units: the control plane and an agent on the first, an agent on each other. */
export class VirtualCluster {
  readonly lab: VirtualLab;
  readonly server: VirtualHost;

  private constructor(lab: VirtualLab) {
    this.lab = lab;
    this.server = lab.host(0);
  }

  static async create({ hosts, memoryMegabytes = 512, kernelArguments = [], agent = {} }: VirtualClusterConfig): Promise<VirtualCluster> {
    const dist = join(root, 'node_modules/.cache/vm-dist');
    await execOk(process.execPath, [join(root, 'install/build/build.ts'), '--out', dist, '--compression', '1'], { timeoutMs: 600_000 });
    const cluster = new VirtualCluster(await VirtualLab.create(hosts, memoryMegabytes, kernelArguments));
    try {
      const settings = Object.entries(agent).map(([name, value]) => `${name}: ${value}`).join('\n');
      if (settings !== '') await Promise.all(cluster.lab.hosts.map((host) => host.sh(`mkdir -p /etc/cleat && echo '${settings}' >/etc/cleat/agent.yaml`)));
      await cluster.#install(cluster.server, `sh ${dist}/install.sh --server --advertise-address ${cluster.server.address} --no-packages`);
      for (const other of cluster.lab.hosts.slice(1)) {
        const token = (await cluster.cleat('token create --token-only')).trim();
        await cluster.#install(other, `sh ${dist}/install.sh --join https://${cluster.server.address}:6443 --token ${token} --no-packages`);
      }
      await cluster.ready();
      return cluster;
    } catch (error) {
      await cluster.destroy();
      throw error;
    }
  }

  cleat(args: string): Promise<string> { return this.server.sh(`cleat ${args}`, 120_000); }

  async apply(...objects: readonly KubeObject[]): Promise<void> {
    await this.server.sh(`cleat apply -f - <<'END'\n${JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })}\nEND`, 120_000);
  }

  async pod(name: string): Promise<Pod> { return JSON.parse(await this.cleat(`get pod ${name} -o json`)) as Pod; }

  /** What a shell in the pod's first container says. */
  exec(pod: string, script: string): Promise<string> { return this.cleat(`exec ${pod} -- sh -c '${script}'`); }

  /** What has been said of an object, the reasons in front. */
  async events(name: string): Promise<string> {
    const { items } = JSON.parse(await this.cleat('get events -o json')) as { readonly items: readonly Event[] };
    return items.filter((event) => event.involvedObject.name === name).map(({ reason, message }) => `${reason ?? ''}: ${message ?? ''}`).join('\n');
  }

  until(what: string, condition: () => Promise<boolean>, timeoutMs = 240_000): Promise<unknown> {
    return eventually(() => condition().catch(() => false), { what, timeoutMs, intervalMs: 500, explain: () => this.#journal() });
  }

  running(...names: readonly string[]): Promise<unknown> {
    return this.until(`${names.join(', ')} to be ready`, async () => {
      for (const name of names) if ((await this.pod(name)).status?.conditions?.find(({ type }) => type === 'Ready')?.status !== 'True') return false;
      return true;
    });
  }

  /** Every node is. */
  ready(): Promise<unknown> {
    return this.until('all nodes to be Ready', async () => (await this.cleat('get nodes --no-headers')).match(/ Ready /g)?.length === this.lab.hosts.length);
  }

  async destroy(): Promise<void> { await this.lab.destroy(); }

  /** On a machine that is busy the server may take longer than the script waits: run again, that goes on. */
  #install(host: VirtualHost, command: string): Promise<unknown> {
    return this.until(`${host.name} to be installed`, async () => (await host.exec(command, 300_000)).exitCode === 0, 600_000);
  }

  async #journal(): Promise<string> {
    return (await Promise.all(this.lab.hosts.map((host) => host.exec("journalctl -n 40 --no-pager -u 'cleat-*'").then(({ stdout }) => `--- ${host.name}\n${stdout}`, () => '')))).join('\n');
  }
}
