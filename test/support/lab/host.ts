import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exec, execOk, type ExecOptions, type ExecResult } from '#common/exec.ts';
import { messageOf } from '#common/errors.ts';
import { makeCgroup, removeCgroup, type CgroupLayout } from './cgroups.ts';
import { firstChild, LabProcess } from './process.ts';

export interface HostConfig {
  readonly index: number;
  readonly name: string;
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string;
  /** The bridge in the lab's switch that its cable leads to. */
  readonly bridge: string;
  readonly mac: string;
  /** Everything of this host on the machine's disk; survives a crash. */
  readonly directory: string;
  readonly cgroup: string;
  readonly memoryBytes: number;
  /** PID 1 is systemd, with nothing enabled, a /usr/local and a /tmp of its own. */
  readonly systemd: boolean;
}

export interface HostDeps {
  readonly cgroups: CgroupLayout;
  /** Runs `ip` in the namespace of the lab's switch. */
  readonly switchIp: (...args: string[]) => Promise<void>;
}

export interface HostExecOptions extends Omit<ExecOptions, 'env' | 'cwd'> {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

const initScript = join(import.meta.dirname, 'host-init.sh');
const enter = 'pid=$1; shift; for f in $JOIN; do echo 0 > "$f" || exit 125; done; exec nsenter -t "$pid" -n -m -u -i -C -p -- "$@"';

/** A host: its own net, mount, uts, ipc, pid and cgroup namespaces, its own `/run`, `/etc`, `/var` and a memory limit. */
export class LabHost {
  readonly name: string;
  /** The address on the lab's network. */
  readonly address: string;
  /** `/var/lib/cleat` of the host, as the machine sees it. */
  readonly stateDirectory: string;
  readonly #deps: HostDeps;
  readonly #config: HostConfig;
  readonly #processes = new Set<LabProcess>();
  #init: { readonly outer: ChildProcess; readonly pid: number } | undefined;
  #joinFiles: readonly string[] = [];

  constructor(deps: HostDeps, config: HostConfig) {
    this.#deps = deps;
    this.#config = config;
    this.name = config.name;
    this.address = config.address;
    this.stateDirectory = join(config.directory, 'state');
    for (const d of ['state', 'log', 'disk']) mkdirSync(join(config.directory, d), { recursive: true });
    writeFileSync(join(config.directory, 'machine-id'), `${Buffer.from(config.directory).toString('hex').slice(-32).padStart(32, '0')}\n`);
  }

  get running(): boolean { return this.#init !== undefined; }

  /** PID of the host's init as the machine sees it: `/proc/PID/root` is its file system. */
  get pid(): number {
    if (!this.#init) throw new Error(`host ${this.name} is down`);
    return this.#init.pid;
  }

  /** A path of the host as a path of the machine. */
  path(inside: string): string {
    return join(`/proc/${String(this.pid)}/root`, inside);
  }

  /** Runs a command in the host to its end. A non-zero exit is a result. */
  async exec(command: string, args: readonly string[], options: HostExecOptions = {}): Promise<ExecResult> {
    const { env, cwd, ...rest } = options;
    return exec('sh', this.#enterArgs(command, args, env, cwd), { ...rest, env: this.#joinEnv() });
  }

  /** Like `exec`, but a non-zero exit is an error that quotes the command. Returns standard output. */
  async execOk(command: string, args: readonly string[], options: HostExecOptions = {}): Promise<string> {
    const result = await this.exec(command, args, options);
    if (result.exitCode !== 0) throw new Error(`${this.name}: ${command} ${args.join(' ')} exited with ${String(result.exitCode)}: ${result.stderr}${result.stdout}`);
    return result.stdout;
  }

  /** A shell script in the host; returns standard output. */
  async sh(script: string, options: HostExecOptions = {}): Promise<string> {
    return this.execOk('sh', ['-ec', script], options);
  }

  /** Starts a process that runs until killed, until the host crashes or until the lab is destroyed. */
  spawn(name: string, command: string, args: readonly string[], options: { env?: Readonly<Record<string, string>>; cwd?: string } = {}): LabProcess {
    const join_ = `JOIN=${this.#joinEnv().JOIN}`;
    const process_ = new LabProcess(name, join(this.#config.directory, 'log', `${name}.log`), 'env', [join_, 'sh', ...this.#enterArgs(command, args, options.env, options.cwd)]);
    this.#processes.add(process_);
    void process_.exited.then(() => this.#processes.delete(process_));
    return process_;
  }

  /** Pulls the network cable. */
  async disconnect(): Promise<void> {
    await this.#deps.switchIp('link', 'set', this.#port, 'down');
  }

  async reconnect(): Promise<void> {
    await this.#deps.switchIp('link', 'set', this.#port, 'up');
  }

  /** Power on. The disk is as it was; processes, links, rules and `/run` are not. */
  async boot(): Promise<void> {
    if (this.#init) return;
    const { name, directory, cgroup, memoryBytes, systemd } = this.#config;
    const { cgroups } = this.#deps;
    this.#joinFiles = makeCgroup(cgroups, cgroup, memoryBytes);
    const script = 'for f in $JOIN; do echo 0 > "$f"; done; exec setpriv --pdeathsig KILL unshare -n -m -u -i -p -C -f --kill-child sh "$@"';
    const outer = spawn('sh', ['-ec', script, 'sh', initScript, name, directory, String(cgroups.version), cgroups.controllers.join(','), ...(systemd ? ['systemd'] : [])], {
      stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'] ?? '', ...this.#joinEnv() },
    });
    await readyLine(outer, `host ${name}`);
    const pid = firstChild(outer.pid ?? 0);
    if (cgroups.version === 2) this.#joinFiles = this.#joinFiles.map((f) => join(f, '../init/cgroup.procs'));
    this.#init = { outer, pid };
    await this.#connect(pid);
  }

  /** Pulls the power plug: everything that ran is gone at once, the disk stays. */
  async crash(): Promise<void> {
    const init = this.#init;
    if (!init) return;
    this.#init = undefined;
    const exited = init.outer.exitCode !== null || init.outer.signalCode !== null ? Promise.resolve() : once(init.outer, 'exit');
    try {
      process.kill(init.pid, 'SIGKILL');
    } catch {
      // It died on its own; the rest below still has to be cleaned.
    }
    await exited;
    await Promise.all([...this.#processes].map((p) => p.exited));
    await this.#deps.switchIp('link', 'del', this.#port).catch(() => undefined);
    await removeCgroup(this.#deps.cgroups, this.#config.cgroup);
  }

  /** The last lines of every process of this host, for messages of failed tests. */
  logs(maxBytesEach = 4000): string {
    return [...this.#processes].map((p) => `--- ${this.name} ${p.name}\n${p.output().slice(-maxBytesEach)}`).join('\n');
  }

  get #port(): string { return `p${String(this.#config.index)}`; }

  #joinEnv(): { JOIN: string } { return { JOIN: this.#joinFiles.join(' ') }; }

  #enterArgs(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}, cwd = '/'): string[] {
    const variables = { PATH: process.env['PATH'] ?? '', HOME: '/root', LANG: 'C.UTF-8', ...env };
    const clean = ['env', '-i', ...Object.entries(variables).map(([k, v]) => `${k}=${v}`)];
    return ['-c', enter, 'sh', String(this.pid), 'sh', '-c', 'cd -- "$0" && exec "$@"', cwd, ...clean, command, ...args];
  }

  async #connect(pid: number): Promise<void> {
    const { address, prefixLength, gateway, mac } = this.#config;
    await this.#deps.switchIp('link', 'add', this.#port, 'type', 'veth', 'peer', 'name', 'eth0', 'address', mac, 'netns', String(pid));
    await this.#deps.switchIp('link', 'set', this.#port, 'master', this.#config.bridge, 'up');
    const script = `ip addr add ${address}/${String(prefixLength)} dev eth0; ip link set eth0 up; ip route add default via ${gateway}`;
    await execOk('nsenter', ['-t', String(pid), '-n', 'sh', '-ec', script]);
  }
}

/** Waits for the line `ready` on a child's standard output; quotes its errors when it ends instead. */
export async function readyLine(child: ChildProcess, what: string): Promise<void> {
  let errors = '';
  child.stderr?.on('data', (chunk: Buffer) => { errors = (errors + chunk.toString()).slice(-4000); });
  await new Promise<void>((resolve, reject) => {
    let out = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      out += chunk.toString();
      if (out.includes('ready')) resolve();
    });
    child.once('error', (error) => { reject(new Error(`${what} did not start: ${messageOf(error)}`)); });
    child.once('exit', () => { reject(new Error(`${what} did not start: ${errors}`)); });
  });
}
