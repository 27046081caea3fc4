import { readdir, readFile, stat, statfs } from 'node:fs/promises';
import { availableParallelism, hostname, networkInterfaces, release } from 'node:os';
import { detectNodeIp } from '#common/host-address.ts';
import { processCount, processLimit } from '#agent/runtimes/cgroups.ts';
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
      osImage: await prettyName() ?? `${os.distro} ${os.release}`,
      machineId: (await text('/etc/machine-id')) ?? ids.os,
      // A board without firmware tables (or a container) has no UUID; its serial number or machine id is as unique.
      systemUuid: ids.hardware || (await text('/proc/device-tree/serial-number')) || (await text('/etc/machine-id')) || ids.os,
      bootId: (await text('/proc/sys/kernel/random/boot_id')) ?? '',
    };
  }

  async readings(imageFolder?: string): Promise<HostReadings> {
    const { mem } = memoryInformation();
    const { stateDirectory, podsCgroup } = this.#config;
    const [memory, cgroup, disk, imageDisk, hugePages, pids, podPids] = await Promise.all([
      mem(), readCgroup(), readDisk(stateDirectory), imageFolder === undefined ? undefined : otherDisk(imageFolder, stateDirectory), readHugePages(), readKernelPids(), readPodPids(podsCgroup),
    ]);
    const memoryBytes = Math.min(memory.total, cgroup.memoryLimitBytes ?? Infinity);
    const cgroupAvailable = cgroup.memoryLimitBytes === undefined ? Infinity : cgroup.memoryLimitBytes - (cgroup.workingSetBytes ?? 0);
    return {
      cpuMillis: Math.min(availableParallelism() * 1000, cgroup.cpuLimitMillis ?? Infinity),
      memoryBytes,
      memoryAvailableBytes: Math.min(memory.available, cgroupAvailable),
      disk,
      ...(imageDisk && { imageDisk }),
      pids: { ...narrower(pids, cgroup), ...(podPids && { pods: podPids }) },
      hugePages,
      nodeIp: this.#config.nodeIp || detectNodeIp((await text('/proc/net/route')) ?? '', networkInterfaces()),
    };
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

async function prettyName(): Promise<string | undefined> {
  return /^PRETTY_NAME="?(.*?)"?$/m.exec((await text('/etc/os-release')) ?? '')?.[1];
}

/** How many processes and threads this host may have and has, the limits of the place where it runs included. */
export async function readPids(): Promise<Omit<PidReadings, 'pods'>> {
  const [pids, cgroup] = await Promise.all([readKernelPids(), readCgroup()]);
  return narrower(pids, cgroup);
}

function narrower(pids: Omit<PidReadings, 'pods'>, { pidLimit, pidCount = 0 }: CgroupReadings): Omit<PidReadings, 'pods'> {
  return pidLimit !== undefined && pidLimit < pids.limit ? { limit: pidLimit, used: pidCount } : pids;
}

async function readPodPids(podsCgroup: string | undefined): Promise<PidReadings['pods']> {
  const limit = podsCgroup === undefined ? undefined : await processLimit(podsCgroup);
  return podsCgroup === undefined || limit === undefined ? undefined : { limit, used: await processCount(podsCgroup) };
}

async function readKernelPids(): Promise<Omit<PidReadings, 'pods'>> {
  const [pidMax, threadsMax, loadavg] = await Promise.all(['/proc/sys/kernel/pid_max', '/proc/sys/kernel/threads-max', '/proc/loadavg'].map(text));
  const used = Number(/\d+\/(\d+)/.exec(loadavg ?? '')?.[1] ?? 0);
  return { limit: Math.min(Number(pidMax ?? 32_768), Number(threadsMax ?? 32_768)), used };
}

async function readHugePages(): Promise<Record<number, number>> {
  const result: Record<number, number> = {};
  for (const name of await readdir('/sys/kernel/mm/hugepages').catch(() => [])) {
    const kib = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
    const count = Number(await text(`/sys/kernel/mm/hugepages/${name}/nr_hugepages`) ?? 0);
    if (kib > 0) result[kib] = count * kib * 1024;
  }
  return result;
}

/** A small file's content without the white space or zero byte at its end; undefined when it cannot be read or is empty. */
async function text(path: string): Promise<string | undefined> {
  try {
    // oxlint-disable-next-line no-control-regex
    return (await readFile(path, 'utf8')).replace(/[\s\0]+$/, '') || undefined;
  } catch {
    return undefined;
  }
}
