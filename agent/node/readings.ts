import { stat, statfs } from 'node:fs/promises';
import { availableParallelism, hostname, networkInterfaces, release } from 'node:os';
import { join } from 'node:path';
import { detectNodeIp } from '#common/host-address.ts';
import { kernelBootId, kernelEntries, kernelText } from '#common/kernel-file.ts';
import { pidsFolder } from '#agent/runtimes/cgroups.ts';
import { readCgroup, type CgroupReadings } from './cgroup-limits.ts';
import { memoryInformation, osInformation } from './system-information.ts';

/** What never changes while the host is up. */
export interface HostIdentity {
  readonly hostname: string;
  readonly architecture: string;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly machineId: string;
  readonly systemUuid: string;
  readonly bootId: string;
}

export interface DiskReadings { readonly totalBytes: number; readonly availableBytes: number; readonly inodes: number; readonly freeInodes: number }

/** Processes and threads. */
export interface PidReadings {
  readonly limit: number;
  readonly used: number;
  /** What all pods together may have and use of them; absent while nothing limits them. */
  readonly pods?: { readonly limit: number; readonly used: number };
}

/** What is looked at each time. */
export interface HostReadings {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly memoryAvailableBytes: number;
  readonly disk: DiskReadings;
  /** Where images and what containers write are, if that is another file system than the one above. */
  readonly imageDisk?: DiskReadings;
  readonly pids: PidReadings;
  /** Page size in KiB → total bytes. */
  readonly hugePages: Readonly<Record<number, number>>;
  /** Undefined when the host has no usable address. */
  readonly nodeIp: string | undefined;
}

/** Where readings come from; tests put their own in its place. */
export interface Host {
  identity(): Promise<HostIdentity>;
  /** `imageFolder`: on the file system of the runtime's images; absent while that is not known. */
  readings(imageFolder?: string): Promise<HostReadings>;
}

export interface LinuxHostConfig {
  /** The file system whose space pods use. */
  readonly stateDirectory: string;
  /** Empty to find it out. */
  readonly nodeIp: string;
  /** The cgroup that all pods are in; absent where none run. */
  readonly podsCgroup?: string;
}

const kubernetesArchitecture: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' };

/** This host, through systeminformation where that is cheap and /proc and /sys where it would start processes. */
export class LinuxHost implements Host {
  readonly #config: LinuxHostConfig;
  /** Where the kernel counts the processes of pods; looked for until it is there. */
  #pidsOfPods: string | undefined;

  constructor(config: LinuxHostConfig) {
    this.#config = config;
  }

  async identity(): Promise<HostIdentity> {
    const { osInfo, uuid } = osInformation();
    const [os, ids] = await Promise.all([osInfo(), uuid()]);
    return {
      hostname: hostname(),
      architecture: kubernetesArchitecture[process.arch] ?? process.arch,
      kernelVersion: release(),
      osImage: prettyName() ?? `${os.distro} ${os.release}`,
      machineId: kernelText('/etc/machine-id') ?? ids.os,
      // A board without firmware tables (or a container) has no UUID; its serial number or machine id is as unique.
      systemUuid: ids.hardware || kernelText('/proc/device-tree/serial-number') || kernelText('/etc/machine-id') || ids.os,
      bootId: kernelBootId(),
    };
  }

  async readings(imageFolder?: string): Promise<HostReadings> {
    const { mem } = memoryInformation();
    const { stateDirectory } = this.#config;
    const [memory, disk, imageDisk, podPids] = await Promise.all([mem(), readDisk(stateDirectory), imageFolder === undefined ? undefined : otherDisk(imageFolder, stateDirectory), this.#podPids()]);
    const cgroup = readCgroup();
    const memoryBytes = Math.min(memory.total, cgroup.memoryLimitBytes ?? Infinity);
    const cgroupAvailable = cgroup.memoryLimitBytes === undefined ? Infinity : cgroup.memoryLimitBytes - (cgroup.workingSetBytes ?? 0);
    return {
      cpuMillis: Math.min(availableParallelism() * 1000, cgroup.cpuLimitMillis ?? Infinity),
      memoryBytes,
      memoryAvailableBytes: Math.min(memory.available, cgroupAvailable),
      disk,
      ...(imageDisk && { imageDisk }),
      pids: { ...narrower(readKernelPids(), cgroup), ...(podPids && { pods: podPids }) },
      hugePages: readHugePages(),
      nodeIp: this.#config.nodeIp || detectNodeIp(kernelText('/proc/net/route') ?? '', networkInterfaces()),
    };
  }

  async #podPids(): Promise<PidReadings['pods']> {
    const { podsCgroup } = this.#config;
    this.#pidsOfPods ??= podsCgroup === undefined ? undefined : await pidsFolder(podsCgroup);
    if (this.#pidsOfPods === undefined) return undefined;
    const [limit, used] = ['pids.max', 'pids.current'].map((file) => kernelText(join(this.#pidsOfPods ?? '', file)));
    if (limit === undefined) this.#pidsOfPods = undefined;
    return limit === undefined || limit === 'max' ? undefined : { limit: Number(limit), used: Number(used ?? 0) };
  }
}

async function readDisk(path: string): Promise<DiskReadings> {
  const disk = await statfs(path);
  return { totalBytes: disk.blocks * disk.bsize, availableBytes: disk.bavail * disk.bsize, inodes: disk.files, freeInodes: disk.ffree };
}

/** Undefined where both are on one file system, or the first cannot be read. */
async function otherDisk(path: string, than: string): Promise<DiskReadings | undefined> {
  try {
    const [own, other] = await Promise.all([stat(path), stat(than)]);
    return own.dev === other.dev ? undefined : await readDisk(path);
  } catch {
    return undefined;
  }
}

function prettyName(): string | undefined {
  return /^PRETTY_NAME="?(.*?)"?$/m.exec(kernelText('/etc/os-release') ?? '')?.[1];
}

/** How many processes and threads this host may have and has, the limits of the place where it runs included. */
export function readPids(): Omit<PidReadings, 'pods'> {
  return narrower(readKernelPids(), readCgroup());
}

function narrower(pids: Omit<PidReadings, 'pods'>, { pidLimit, pidCount = 0 }: CgroupReadings): Omit<PidReadings, 'pods'> {
  return pidLimit !== undefined && pidLimit < pids.limit ? { limit: pidLimit, used: pidCount } : pids;
}

function readKernelPids(): Omit<PidReadings, 'pods'> {
  const [pidMax, threadsMax, loadavg] = ['/proc/sys/kernel/pid_max', '/proc/sys/kernel/threads-max', '/proc/loadavg'].map(kernelText);
  const used = Number(/\d+\/(\d+)/.exec(loadavg ?? '')?.[1] ?? 0);
  return { limit: Math.min(Number(pidMax ?? 32_768), Number(threadsMax ?? 32_768)), used };
}

function readHugePages(): Record<number, number> {
  const folder = '/sys/kernel/mm/hugepages';
  const result: Record<number, number> = {};
  for (const name of kernelEntries(folder)) {
    const kib = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
    const count = Number(kernelText(join(folder, name, 'nr_hugepages')) ?? 0);
    if (kib > 0) result[kib] = count * kib * 1024;
  }
  return result;
}
