import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { exec, execOk } from '#common/exec.ts';
import { cgroupLayout, removeCgroup, type CgroupLayout } from './cgroups.ts';
import { LabHost, readyLine } from './host.ts';

export interface LabConfig {
  readonly hosts: number;
  /** Of each host; default 2 GiB. */
  readonly memoryBytes?: number;
  /** Lets the test process itself reach the hosts by their addresses. Default false: nothing outside the lab can. */
  readonly uplink?: boolean;
  /** Hosts whose PID 1 is systemd; they are there when their shell is, a second before systemd has come up. The lab's directory is their `/mnt`. */
  readonly systemd?: boolean;
  /** Ethernet segments, with a router between them: host i is on segment i modulo links. Default 1. `uplink` leads to the first. */
  readonly links?: number;
}

const root = '/tmp/cleat-lab';

/**
 * Several hosts on one Ethernet segment, or on several with a router between them, each a set of namespaces on this machine. The switch is a namespace of its
 * own, so labs cannot see each other and need no unique names; the only traces outside are one directory, one cgroup
 * and, with `uplink`, one veth. Needs root.
 */
export class Lab {
  readonly directory: string;
  readonly hosts: readonly LabHost[];
  readonly #switch: ChildProcess;
  readonly #cgroups: CgroupLayout;

  private constructor(directory: string, switch_: ChildProcess, cgroups: CgroupLayout, hosts: readonly LabHost[]) {
    this.directory = directory;
    this.#switch = switch_;
    this.#cgroups = cgroups;
    this.hosts = hosts;
  }

  /** Host by number, counted from 0. */
  host(index: number): LabHost {
    const host = this.hosts[index];
    if (!host) throw new Error(`the lab has ${String(this.hosts.length)} hosts; there is no host ${String(index)}`);
    return host;
  }

  /** Power off and remove everything. Idempotent. */
  async destroy(): Promise<void> {
    await Promise.all(this.hosts.map((h) => h.crash()));
    if (this.#switch.exitCode === null && this.#switch.signalCode === null) {
      const exited = once(this.#switch, 'exit');
      this.#switch.kill('SIGKILL');
      await exited;
    }
    await removeCgroup(this.#cgroups, cgroupOf(this.directory));
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** A shell script where the segments meet: rules of a router that is no plain one. */
  async router(script: string): Promise<void> {
    await execOk('nsenter', ['-t', String(this.#switch.pid), '-n', 'sh', '-ec', script]);
  }

  /** The logs of all hosts' running processes, for messages of failed tests. */
  logs(): string {
    return this.hosts.map((h) => h.logs()).filter(Boolean).join('\n');
  }

  static async create(config: LabConfig): Promise<Lab> {
    const cgroups = cgroupLayout();
    await sweep(cgroups);
    mkdirSync(root, { recursive: true });
    const directory = mkdtempSync(join(root, `${String(process.pid)}-${startTime(process.pid) ?? ''}-`));
    const switch_ = spawn('setpriv', ['--pdeathsig', 'KILL', 'unshare', '-n', 'sh', '-ec', switchScript], { stdio: ['ignore', 'pipe', 'pipe'] });
    await readyLine(switch_, 'the lab switch');
    const switchPid = String(switch_.pid);
    const switchIp = async (...args: string[]): Promise<void> => { await execOk('nsenter', ['-t', switchPid, '-n', 'ip', ...args]); };
    const subnet = config.uplink ? await connectUplink(switchPid) : 0;
    const links = config.links ?? 1;
    const network = (link: number): string => `10.${String(88 + link)}.${String(subnet)}`;
    for (let link = 0; link < links; link++) {
      if (link > 0) await switchIp('link', 'add', `br${String(link)}`, 'up', 'type', 'bridge');
      await switchIp('addr', 'add', `${network(link)}.1/24`, 'dev', `br${String(link)}`);
    }
    const hosts = Array.from({ length: config.hosts }, (_, i) => new LabHost({ cgroups, switchIp }, {
      index: i, name: `host${String(i)}`,
      address: `${network(i % links)}.${String(11 + i)}`, prefixLength: 24, gateway: `${network(i % links)}.1`, bridge: `br${String(i % links)}`,
      mac: `02:00:0a:58:${hex(subnet)}:${hex(11 + i)}`,
      directory: join(directory, `host${String(i)}`), cgroup: `${cgroupOf(directory)}/host${String(i)}`,
      memoryBytes: config.memoryBytes ?? 2 * 1024 ** 3, systemd: config.systemd ?? false,
    }));
    const lab = new Lab(directory, switch_, cgroups, hosts);
    try {
      await Promise.all(hosts.map((h) => h.boot()));
    } catch (error) {
      await lab.destroy();
      throw error;
    }
    return lab;
  }
}

/** Powers on `hosts` hosts: about 0.1 s each. */
export async function createLab(config: LabConfig): Promise<Lab> {
  return Lab.create(config);
}

// Forwarding without a route out answers "network unreachable" at once, where a silent drop would hang.
const switchScript = `
ip link set lo up
ip link add br0 type bridge
ip link set br0 up
echo 1 > /proc/sys/net/ipv4/ip_forward
echo ready
exec sleep infinity >/dev/null 2>&1`;

/** Joins the machine to the segment as `.2`. The link's name claims the subnet; it goes away with the switch. */
async function connectUplink(switchPid: string): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt++) {
    const subnet = 1 + Math.floor(Math.random() * 250);
    const link = `cleatlab${String(subnet)}`;
    const added = await exec('ip', ['link', 'add', link, 'type', 'veth', 'peer', 'name', 'uplink', 'netns', switchPid]);
    if (added.exitCode !== 0) continue;
    await execOk('ip', ['addr', 'add', `10.88.${String(subnet)}.2/24`, 'dev', link]);
    await execOk('ip', ['link', 'set', link, 'up']);
    await execOk('nsenter', ['-t', switchPid, '-n', 'ip', 'link', 'set', 'uplink', 'master', 'br0', 'up']);
    return subnet;
  }
  throw new Error('no free subnet for the lab: are there links named cleatlab*?');
}

/** Removes what labs of dead processes left. */
async function sweep(cgroups: CgroupLayout): Promise<void> {
  const names = new Set(list(root));
  for (const cgroupRoot of cgroups.roots) {
    for (const name of list(cgroupRoot)) if (name.startsWith('cleat-lab-')) names.add(name.slice('cleat-lab-'.length));
  }
  for (const name of names) {
    const [, pid, start] = /^(\d+)-(\d+)-/.exec(name) ?? [];
    if (start === undefined || startTime(Number(pid)) === start) continue;
    await removeCgroup(cgroups, cgroupOf(name));
    rmSync(join(root, name), { recursive: true, force: true });
  }
}

function cgroupOf(directory: string): string {
  return `cleat-lab-${basename(directory)}`;
}

/** Start time of a process in clock ticks since boot: with the pid it names a process for good. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function hex(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}
