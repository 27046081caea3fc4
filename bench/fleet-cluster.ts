import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { KubeList, KubeObject } from '#api/meta/object.ts';
import type { RestClient } from '#cli/client.ts';
import { eventually } from '#test/support/lab/eventually.ts';
import { adminClient } from './admin-client.ts';
import { usageOf, type Usage } from './process-usage.ts';
import { freePort } from '#test/support/free-port.ts';

const root = join(import.meta.dirname, '..');

/** A control plane as a user starts it, on loopback, and agents without containers in processes of their own, which speak the real protocol. */
export class FleetCluster {
  readonly client: RestClient;
  readonly pid: number;
  readonly #folder: string;
  readonly #port: number;
  readonly #controlPlane: ChildProcess;
  readonly #fleets = new Set<ChildProcess>();

  private constructor(folder: string, port: number, controlPlane: ChildProcess, client: RestClient) {
    this.#folder = folder;
    this.#port = port;
    this.#controlPlane = controlPlane;
    this.client = client;
    this.pid = controlPlane.pid ?? 0;
  }

  /** `flags` beside where it listens and what it keeps; `env` beside this process's. */
  static async start(executable: string, flags: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<FleetCluster> {
    const folder = mkdtempSync(join(tmpdir(), 'cleat-bench-fleet-'));
    const port = await freePort();
    const kubeconfig = join(folder, 'kubeconfig');
    const controlPlane = spawn(executable, [
      'controlplane', `--state-dir=${join(folder, 'state')}`, `--kubeconfig=${kubeconfig}`, `--port=${String(port)}`, '--bind-address=127.0.0.1', '--advertise-address=127.0.0.1', '--log-level=warn', '--pod-cidr=10.64.0.0/10', ...flags,
    ], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
    const said = createInterface({ input: controlPlane.stderr });
    await new Promise<void>((resolve, reject) => {
      said.on('line', (line) => {
        if (line.includes('is ready at')) resolve();
        else process.stderr.write(`${line}\n`);
      });
      controlPlane.once('exit', (code) => { reject(new Error(`the control plane ended with ${String(code)}`)); });
    });
    return new FleetCluster(folder, port, controlPlane, adminClient(readFileSync(kubeconfig, 'utf8'), `https://127.0.0.1:${String(port)}`));
  }

  /** Resolves when `count` more agents, in `zones` zones by turns, have their state. Returns how to lose them all at once. */
  async connect(count: number, first: number, zones: number): Promise<() => void> {
    const fleet = spawn(process.execPath, [join(root, 'test/support/agent-fleet.ts'), '127.0.0.1', String(this.#port), join(this.#folder, 'state/server/pki'), String(count), String(first), String(zones)], { stdio: ['ignore', 'pipe', 'inherit'] });
    this.#fleets.add(fleet);
    await once(fleet.stdout, 'data');
    return () => { fleet.kill('SIGKILL'); };
  }

  usage(): Usage { return usageOf(this.pid); }

  /** Most that the control plane held in memory since it started, in bytes. */
  peakBytes(): number {
    return Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${String(this.pid)}/status`, 'utf8'))?.[1] ?? NaN) * 1024;
  }

  async count(path: string): Promise<number> {
    const { items, metadata } = await this.client.json<KubeList<KubeObject>>('GET', `${path}?limit=1`);
    return items.length + Number(metadata?.remainingItemCount ?? 0);
  }

  async until(what: string, condition: () => Promise<boolean>, timeoutMs = 300_000): Promise<void> {
    await eventually(condition, { what, timeoutMs, intervalMs: 100 });
  }

  async stop(): Promise<void> {
    this.client.close();
    for (const fleet of this.#fleets) fleet.kill('SIGKILL');
    this.#controlPlane.kill('SIGKILL');
    if (this.#controlPlane.exitCode === null && this.#controlPlane.signalCode === null) await once(this.#controlPlane, 'exit');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
