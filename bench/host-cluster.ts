import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pod } from '#api/gen/types.ts';
import { lines, type RestClient } from '#cli/client.ts';
import { execOk } from '#common/exec.ts';
import { Cluster, type ClusterConfig } from '#test/support/cluster.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import type { LabHost } from '#test/support/lab/host.ts';
import { adminClient } from './admin-client.ts';

const pods = '/api/v1/namespaces/default/pods';
const podFolders = '/var/lib/cleat/pods';
/** What a user gets who says nothing; the tests' clusters detect lost nodes much faster. */
const defaults = ['--heartbeat-period=10s', '--node-monitor-grace-period=40s', '--default-not-ready-toleration-seconds=300', '--default-unreachable-toleration-seconds=300'];

/** A cluster as a user has it, driven through a client in this process. */
export class HostCluster {
  readonly cluster: Cluster;
  /** A kubeconfig for commands that run on this machine, outside of the hosts. */
  readonly kubeconfig: string;
  readonly #client: RestClient;
  readonly #folder: string;
  /** By pod: its phase, and when its end, and that it was Ready, was heard of. */
  readonly #phases = new Map<string, string>();
  readonly #endedAtMs = new Map<string, number>();
  readonly #readyAtMs = new Map<string, number>();
  readonly #stop = new AbortController();
  #changed: () => void = () => undefined;

  private constructor(cluster: Cluster, folder: string) {
    this.cluster = cluster;
    this.#folder = folder;
    const text = readFileSync(cluster.controlPlaneHost.path('/etc/cleat/kubeconfig'), 'utf8').replace(/server: .*/, `server: ${cluster.server}`);
    this.kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(this.kubeconfig, text, { mode: 0o600 });
    this.#client = adminClient(text, cluster.server);
  }

  /** On `executable`, for that is what users run; see RunOptions. */
  static async create(config: ClusterConfig & { readonly executable: string }): Promise<HostCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'cleat-bench-host-'));
    const prepareHost = async (host: LabHost): Promise<void> => {
      await ownExecutable(host, folder, config.executable);
      await config.prepareHost?.(host);
    };
    const cluster = await Cluster.create({ ...config, controlPlaneFlags: defaults, memoryBytes: 4 * 1024 ** 3, prepareHost });
    return new HostCluster(cluster, folder);
  }

  async destroy(): Promise<void> {
    this.#stop.abort(new Error('the bench is over'));
    this.#client.close();
    await this.cluster.destroy();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Follows the phases of pods until the cluster is destroyed. A watch ends now and then, and with the control plane; the next goes on where a list ends. */
  async follow(): Promise<void> {
    const { signal } = this.#stop;
    const open = async (): ReturnType<RestClient['open']> => {
      const { metadata, items } = await this.#client.json<{ metadata: { resourceVersion: string }; items: Pod[] }>('GET', pods);
      const there = new Set(items.map((pod) => pod.metadata?.name));
      for (const name of this.#phases.keys()) if (!there.has(name)) this.#phases.delete(name);
      for (const pod of items) this.#note(pod);
      this.#changed();
      return this.#client.open('GET', `${pods}?watch=1&resourceVersion=${metadata.resourceVersion}`, { signal });
    };
    const read = async (stream: Awaited<ReturnType<typeof open>>): Promise<void> => {
      for await (const line of lines(stream)) {
        const { type, object } = JSON.parse(line) as { type: string; object: Pod };
        if (type === 'DELETED') this.#phases.delete(object.metadata?.name ?? '');
        else this.#note(object);
        this.#changed();
      }
    };
    const first = await open();
    void (async () => {
      await read(first).catch(() => undefined);
      while (!signal.aborted) {
        await sleep(100);
        await open().then(read).catch(() => undefined);
      }
    })();
  }

  #note({ metadata, status }: Pod): void {
    const name = metadata?.name ?? '';
    if (status?.phase === 'Failed' && this.#phases.get(name) !== 'Failed') this.#endedAtMs.set(name, Date.now());
    this.#phases.set(name, status?.phase ?? '');
    if (!this.#readyAtMs.has(name) && status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true) this.#readyAtMs.set(name, epochMs());
  }

  /** Pods of one container that runs for ever, or `command`, and is not started again; their label `run` is their name. */
  async createPods(names: readonly string[], command?: readonly string[]): Promise<void> {
    const app = { name: 'app', image: 'cleat-hello:1', imagePullPolicy: 'IfNotPresent', ...(command && { command: [...command] }) };
    const pod = (name: string): Pod => ({ metadata: { name, labels: { run: name } }, spec: { terminationGracePeriodSeconds: 0, restartPolicy: 'Never', containers: [app] } });
    await Promise.all(names.map((name) => this.#client.json('POST', pods, { apiVersion: 'v1', kind: 'Pod', ...pod(name) })));
  }

  async running(names: readonly string[]): Promise<void> {
    await this.#until(() => names.every((name) => this.#phases.get(name) === 'Running'));
  }

  /** When the pod was heard to be Ready, epoch milliseconds. */
  async ready(name: string): Promise<number> {
    await this.#until(() => this.#readyAtMs.has(name));
    return this.#readyAtMs.get(name) ?? NaN;
  }

  /** When each was heard to have failed, epoch milliseconds. */
  async failed(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    await this.#until(() => names.every((name) => this.#phases.get(name) === 'Failed'));
    return this.#endedAtMs;
  }

  /** Deletes the pods and waits until they, and their containers, are gone. */
  /** Resolves when the API has them no more, and neither have their hosts: what is last of a pod there is its folder. */
  async deletePods(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#client.request('DELETE', `${pods}/${name}`)));
    await this.#until(() => names.every((name) => !this.#phases.has(name)));
    const gone = new Set(names);
    const deadline = performance.now() + 120_000;
    while (this.#folders().some((folder) => gone.has(folder.split('_')[1] ?? ''))) {
      if (performance.now() > deadline) throw new Error(`pods did not go from their hosts within two minutes:\n${await this.cluster.diagnostics()}`);
      await sleep(5);
    }
  }

  /** Of pods on all hosts: NAMESPACE_NAME_UID. */
  #folders(): string[] {
    return this.cluster.lab.hosts.filter(({ running }) => running).flatMap((host) => {
      try {
        return readdirSync(host.path(podFolders));
      } catch {
        return []; // it has never had a pod
      }
    });
  }

  /** Time until /readyz says ok, from now. */
  async readyMs(): Promise<number> {
    const started = performance.now();
    while (!(await this.#ready())) {
      if (performance.now() - started > 30_000) throw new Error(`not ready after 30 s:\n${await this.cluster.diagnostics()}`);
      await sleep(5);
    }
    return performance.now() - started;
  }

  /** A Deployment of so many pods that do nothing but wait for requests, and its Service; `probed` as often as probes are by default. */
  async scale(replicas: number, { probed = false } = {}): Promise<void> {
    const labels = { app: 'idle' };
    const probe = { httpGet: { path: '/', port: 8080 } };
    await this.cluster.apply([
      {
        apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'idle' },
        spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers: [{ name: 'app', image: 'cleat-hello:1', ports: [{ containerPort: 8080 }], ...(probed && { readinessProbe: probe, livenessProbe: probe }) }] } } },
      },
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'idle' }, spec: { selector: labels, ports: [{ port: 80, targetPort: 8080 }] } },
    ]);
    await eventually(async () => {
      const { items } = await this.cluster.json<{ items: Pod[] }>(['get', 'pods', '-l', 'app=idle']);
      return items.length === replicas && items.every(({ status }) => status?.phase === 'Running');
    }, { what: `${String(replicas)} pods`, timeoutMs: 120_000, intervalMs: 500, explain: () => this.cluster.diagnostics() });
  }

  async #until(condition: () => boolean): Promise<void> {
    const deadline = performance.now() + 60_000;
    while (!condition()) {
      const { promise, resolve } = Promise.withResolvers<undefined>();
      this.#changed = () => { resolve(undefined); };
      const timer = setTimeout(() => { resolve(undefined); }, 1000);
      await promise;
      clearTimeout(timer);
      if (performance.now() > deadline) throw new Error(`pods did not get where they should within a minute:\n${await this.cluster.diagnostics()}`);
    }
  }

  #ready(): Promise<boolean> {
    return new Promise((resolve) => {
      const asked = request(`${this.cluster.server}/readyz`, { rejectUnauthorized: false, agent: false }, (answer) => {
        answer.resume();
        answer.on('end', () => { resolve(answer.statusCode === 200); });
      });
      asked.on('error', () => { resolve(false); });
      asked.end();
    });
  }
}

/** Finer than Date.now(). */
function epochMs(): number {
  return performance.timeOrigin + performance.now();
}

/**
 * Memory that processes share is divided among them; on a small host nobody shares it. So every host gets a file of its
 * own, as cold as after a reboot: pages that the kernel happens to hold of a file just written would count as the process's own.
 */
async function ownExecutable(host: LabHost, folder: string, executable: string): Promise<void> {
  const copy = join(folder, `cleat-${host.name}`);
  copyFileSync(executable, copy);
  await execOk('dd', [`of=${copy}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']);
  await host.execOk('mount', ['--bind', copy, executable]);
}
