import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { exec } from '#common/exec.ts';
import type { Cluster } from './cluster.ts';
import { eventually } from './lab/eventually.ts';
import type { LabProcess } from './lab/process.ts';

export interface KubectlVersion { readonly path: string; readonly minor: number }

/** Where `install/test.sh` unpacks Debian's package on a host that has another kubectl. */
const unpacked = join(import.meta.dirname, '../../node_modules/.cache/kubernetes-client/usr/bin');

/** Stock kubectl, one of each minor version on this machine, oldest first: every one on the PATH, Debian's, and `kubectl.1.NN` beside their real files. Throws when there is none. */
export async function kubectlVersions(): Promise<KubectlVersion[]> {
  const folders = [...(process.env['PATH'] ?? '').split(':'), '/usr/bin', unpacked];
  const found = [...new Set(folders.map((folder) => join(folder, 'kubectl')).filter((path) => existsSync(path)).map((path) => realpathSync(path)))];
  if (found.length === 0) throw new Error('there is no kubectl on this machine: install kubernetes-client');
  const beside = found.map((path) => dirname(path)).flatMap((folder) => readdirSync(folder).filter((file) => /^kubectl\.1\.\d+$/.test(file)).map((file) => join(folder, file)));
  const versions = await Promise.all([...found, ...beside].map(async (path) => {
    const { exitCode, stdout, stderr } = await exec(path, ['version', '--client', '-o', 'json']);
    if (exitCode !== 0) throw new Error(`${path} version: ${stderr}`);
    const { clientVersion } = JSON.parse(stdout) as { clientVersion: { minor: string } };
    return { path, minor: Number.parseInt(clientVersion.minor, 10) };
  }));
  return versions.filter(({ minor }, i) => versions.findIndex((other) => other.minor === minor) === i).sort((a, b) => a.minor - b.minor);
}

/** One kubectl, working in one namespace of a cluster as its administrator. */
export class Kubectl {
  readonly minor: number;
  readonly #cluster: Cluster;
  readonly path: string;
  readonly #options: { readonly env: Readonly<Record<string, string>>; readonly timeoutMs: number };
  readonly namespace: string;

  /** `env` is added to what it runs with. */
  constructor(cluster: Cluster, { path, minor }: KubectlVersion, namespace: string, env: Readonly<Record<string, string>> = {}) {
    this.minor = minor;
    this.#cluster = cluster;
    this.path = path;
    this.namespace = namespace;
    // A home of its own, which goes with the host: kubectl caches what a server offers there.
    this.#options = { env: { KUBECONFIG: '/etc/cleat/kubeconfig', HOME: `/run/${namespace}`, TERM: 'dumb', ...env }, timeoutMs: 40_000 };
  }

  get env(): Readonly<Record<string, string>> { return this.#options.env; }

  /** Standard output of `kubectl -n NAMESPACE ARGS`; a failure throws with both streams. */
  async run(args: readonly string[], options: { readonly input?: string; readonly env?: Readonly<Record<string, string>> } = {}): Promise<string> {
    const result = await this.result(args, options);
    if (result.exitCode !== 0) throw new Error(`kubectl 1.${String(this.minor)} ${args.join(' ')} exited with ${String(result.exitCode)}: ${result.stderr}${result.stdout}`);
    return result.stdout;
  }

  /** `run`, with the words of a command line split at spaces. */
  words(line: string, input?: string): Promise<string> {
    return this.run(line.split(' '), input === undefined ? {} : { input });
  }

  /** What a command that must fail says on its error stream. */
  async fails(line: string, input?: string): Promise<string> {
    const result = await this.result(line.split(' '), input === undefined ? {} : { input });
    if (result.exitCode === 0) throw new Error(`kubectl 1.${String(this.minor)} ${line} should have failed and said: ${result.stdout}`);
    return result.stderr;
  }

  async result(args: readonly string[], { input, env }: { readonly input?: string; readonly env?: Readonly<Record<string, string>> } = {}): ReturnType<Cluster['kubectlResult']> {
    return this.#cluster.controlPlaneHost.exec(this.path, ['-n', this.namespace, ...args], { ...this.#options, env: { ...this.#options.env, ...env }, ...(input !== undefined && { input }) });
  }

  /** A kubectl that goes on: `get -w`, `logs -f`. */
  spawn(name: string, line: string): LabProcess {
    return this.#cluster.controlPlaneHost.spawn(`${this.namespace}-${name}`, this.path, ['-n', this.namespace, ...line.split(' ')], { env: this.#options.env });
  }

  /** Waits until a command's output matches. */
  async until(line: string, pattern: RegExp | string, timeoutMs = 20_000): Promise<string> {
    return eventually(async () => {
      const output = await this.words(line);
      return (typeof pattern === 'string' ? output === pattern : pattern.test(output)) && (output || ' ');
    }, { what: `kubectl ${line} to answer ${String(pattern)}`, timeoutMs, intervalMs: 100, explain: () => this.#cluster.diagnostics() });
  }
}
