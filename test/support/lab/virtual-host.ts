import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, copyFileSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exec, execOk, type ExecResult } from '#common/exec.ts';
import { eventually } from './eventually.ts';
import { readyLine } from './host.ts';

const uml = join(import.meta.dirname, 'uml');
const root = '/tmp/cleat-vm';

export interface VirtualHostConfig {
  readonly name: string;
  readonly index: number;
  readonly address: string;
  readonly memoryMegabytes: number;
  readonly kernel: string;
  /** Everything of this host on the machine's disk; survives a crash. */
  readonly directory: string;
  /** Of the process whose network namespace has the host's cable. */
  readonly switchPid: number;
  /** What the kernel is told beside. */
  readonly kernelArguments: readonly string[];
}

/** A User-Mode Linux host: a kernel of its own, a disk that is kept, systemd. It sees the machine's files below its own. */
export class VirtualHost {
  readonly name: string;
  readonly address: string;
  readonly #config: VirtualHostConfig;
  #process: ChildProcess | undefined;
  #job = '';
  #serial = 0;

  constructor(config: VirtualHostConfig) {
    this.name = config.name;
    this.address = config.address;
    this.#config = config;
  }

  /** Power on; resolves when systemd runs commands. The disk is made the first time. `clock`: what the host takes for now, in seconds since 1970. */
  async boot({ clock }: { readonly clock?: number } = {}): Promise<void> {
    const { directory, kernel, kernelArguments, index, address, memoryMegabytes, switchPid, name } = this.#config;
    const disk = join(directory, 'disk');
    if (!existsSync(disk)) {
      mkdirSync(directory, { recursive: true });
      await execOk('truncate', ['-s', '8G', disk]);
      await execOk('mkfs.ext4', ['-q', '-F', disk]);
    }
    this.#job = mkdtempSync(join(directory, 'job-'));
    copyFileSync(join(uml, 'machine.sh'), join(this.#job, 'machine.sh'));
    const log = openSync(join(directory, 'console.log'), 'a');
    this.#process = spawn('setpriv', ['--pdeathsig', 'KILL', 'nsenter', '-t', String(switchPid), '-n', kernel,
      `umid=${name}`, `uml_dir=${this.#job}`, `mem=${String(memoryMegabytes)}M`, 'seccomp=on', 'quiet', `ubd0=${disk}`, 'root=none', 'rootfstype=hostfs', 'rootflags=/', 'ro',
      `init=${this.#job}/machine.sh`, `job=${this.#job}`, `hostname=${name}`, 'net.ifnames=0', 'systemd.unified_cgroup_hierarchy=1',
      `vec0:transport=raw,ifname=u${String(index)},mac=02:00:0a:58:ff:${(10 + index).toString(16).padStart(2, '0')},depth=64`, `address=${address}`, ...(clock === undefined ? [] : [`clock=${String(clock)}`]), ...kernelArguments,
      'con0=null,fd:1', 'con=null', 'ssl=null',
    ], { stdio: ['ignore', log, log], detached: true, env: { TMPDIR: '/dev/shm', PATH: process.env['PATH'] ?? '' } });
    closeSync(log);
    await this.sh('true', 120_000);
  }

  /** Pulls the power plug: what was not on the disk is lost. */
  async crash(): Promise<void> {
    const process_ = this.#process;
    this.#process = undefined;
    if (!process_) return;
    const exited = process_.exitCode !== null || process_.signalCode !== null ? Promise.resolve() : once(process_, 'exit');
    try {
      // Everything of the host is in its process group: what it runs are processes of the machine, too.
      process.kill(-(process_.pid ?? 0), 'SIGKILL');
    } catch {
      // It had ended by itself.
    }
    await exited;
    await exec('rm', ['-rf', this.#job]);
  }

  /** Resolves when the host has powered itself off; the switch can then be turned off, too (`crash`). */
  async off(timeoutMs = 120_000): Promise<void> {
    await eventually(() => this.#process === undefined || this.#process.exitCode !== null || this.#process.signalCode !== null, { what: `${this.name} to be off`, timeoutMs, intervalMs: 50, explain: () => this.console().slice(-3000) });
    await this.crash();
  }

  /** A shell script in the host to its end. A non-zero exit is a result. */
  async exec(script: string, timeoutMs = 60_000): Promise<ExecResult> {
    const base = join(this.#job, String(++this.#serial));
    writeFileSync(`${base}.new`, `export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8\n${script}\n`);
    renameSync(`${base}.new`, `${base}.sh`);
    await eventually(() => existsSync(`${base}.rc`), { what: `${script.slice(0, 200)} on ${this.name}`, timeoutMs, intervalMs: 50, explain: () => this.console().slice(-3000) });
    return { exitCode: Number(readFileSync(`${base}.rc`, 'utf8')), stdout: readFileSync(`${base}.out`, 'utf8'), stderr: readFileSync(`${base}.err`, 'utf8') };
  }

  /** Like `exec`, but a non-zero exit is an error. Returns standard output. */
  async sh(script: string, timeoutMs?: number): Promise<string> {
    const { exitCode, stdout, stderr } = await this.exec(script, timeoutMs);
    if (exitCode !== 0) throw new Error(`${this.name}: ${script} exited with ${String(exitCode)}: ${stderr}${stdout}`);
    return stdout;
  }

  /** What the kernel and systemd said. */
  console(): string {
    return readFileSync(join(this.#config.directory, 'console.log'), 'utf8');
  }
}

/** Virtual hosts on one Ethernet segment that nothing outside can reach. */
export class VirtualLab {
  readonly directory: string;
  readonly hosts: readonly VirtualHost[];
  readonly #switch: ChildProcess;

  private constructor(directory: string, hosts: readonly VirtualHost[], switch_: ChildProcess) {
    this.directory = directory;
    this.hosts = hosts;
    this.#switch = switch_;
  }

  /** Powers on `count` hosts. Needs root and the kernel of uml/kernel.sh, which is built when it is missing. */
  static async create(count: number, memoryMegabytes = 512, kernelArguments: readonly string[] = []): Promise<VirtualLab> {
    const kernel = (await execOk('sh', [join(uml, 'kernel.sh')], { timeoutMs: 3_600_000 })).trim();
    mkdirSync(root, { recursive: true });
    // What labs of dead processes left: their hosts ended with them.
    for (const name of readdirSync(root)) if (!existsSync(`/proc/${name.split('-')[0] ?? ''}`)) rmSync(join(root, name), { recursive: true, force: true });
    const directory = mkdtempSync(join(root, `${String(process.pid)}-`));
    const ports = Array.from({ length: count }, (_, i) => `ip link add v${String(i)} type veth peer name u${String(i)}; ip link set v${String(i)} master br0 up; ip link set u${String(i)} up promisc on`);
    const script = `ip link set lo up; ip link add br0 type bridge; ip link set br0 up; ip addr add 10.88.255.1/24 dev br0; ${ports.join('; ')}; echo ready; exec sleep infinity >/dev/null 2>&1`;
    const switch_ = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '-n', 'sh', '-ec', script], { stdio: ['ignore', 'pipe', 'pipe'] });
    await readyLine(switch_, 'the switch');
    const hosts = Array.from({ length: count }, (_, i) => new VirtualHost({
      name: `vm${String(i)}`, index: i, address: `10.88.255.${String(11 + i)}`, memoryMegabytes, kernel, kernelArguments, directory: join(directory, `vm${String(i)}`), switchPid: switch_.pid ?? 0,
    }));
    const lab = new VirtualLab(directory, hosts, switch_);
    try {
      await Promise.all(hosts.map((host) => host.boot()));
    } catch (error) {
      await lab.destroy();
      throw error;
    }
    return lab;
  }

  host(index: number): VirtualHost {
    const host = this.hosts[index];
    if (!host) throw new Error(`there is no host ${String(index)}`);
    return host;
  }

  async destroy(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.crash()));
    this.#switch.kill('SIGKILL');
    await exec('rm', ['-rf', this.directory]);
  }
}
