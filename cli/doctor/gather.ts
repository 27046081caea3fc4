import { access, constants, mkdtemp, open, readdir, readFile, rm, stat, statfs } from 'node:fs/promises';
import { hostname, machine, release } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { exec } from '#common/exec.ts';
import { DiskWear, moreWorn } from '#common/disk-wear.ts';
import { readHardware, type Hardware } from '#common/hardware.ts';
import { readFeatures } from './features.ts';
import { readFirewall } from './firewall.ts';
import { askServer, lookUp, readListeners } from './network.ts';
import type { HostReadings } from './types.ts';

export interface Surroundings {
  readonly stateDir: string;
  readonly searchPath: string;
  /** A name to look up, to see whether DNS works; empty for none. */
  readonly lookup: string;
  readonly signal: AbortSignal;
}

const programs = ['containerd', 'runc', 'crun', 'dockerd', 'nft', 'iptables', 'ip', 'conntrack', 'apt-get', 'dnf', 'apk', 'timedatectl', 'modprobe'];
const cniDirs = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];
const bootFiles = ['/boot/firmware/cmdline.txt', '/boot/cmdline.txt'];

/** Reads all that the checks judge. Changes nothing but for a file that is written and removed to see how fast the disk is. */
export async function gather({ stateDir, searchPath, lookup, signal }: Surroundings): Promise<HostReadings> {
  const root = process.getuid?.() === 0;
  const found = Object.fromEntries(await Promise.all(programs.map(async (name) => [name, await findProgram(name, searchPath)] as const)));
  const serverUrl = /^server:\s*["']?([^\s"'#]+)/m.exec(await text('/etc/cleat/agent.yaml') ?? '')?.[1];
  const isServer = await exists('/etc/cleat/controlplane.yaml') || await exists(join(stateDir, 'server'));
  const isAgent = await exists('/etc/cleat/agent.yaml') || await exists(join(stateDir, 'agent'));
  const [cgroup, features, processes, cniPlugins, foreignCni, listeners, firewall, clock, nameservers, resolved, answer, disk, memory, hardware] = await Promise.all([
    readCgroups(), readFeatures(found['modprobe']), readProcesses(), readPlugins(), foreignNetworks(), readListeners(), readFirewall(root, found['nft']), readClock(found['timedatectl']),
    readNameservers(), lookup === '' ? undefined : lookUp(lookup), serverUrl === undefined ? undefined : askServer(serverUrl, signal), readDisk(stateDir), readMemory(), readBody(),
  ]);
  return {
    root, role: isServer === isAgent ? 'both' : isServer ? 'server' : 'agent', hostName: hostname(), model: (await text('/proc/device-tree/model'))?.replaceAll('\0', ''), kernel: { release: release(), machine: machine() },
    cgroup, ...features, programs: found, cniPlugins, processes, foreignCni, listeners, firewall,
    clock: { ...clock, nowMs: Date.now(), aheadOfServerMs: answer?.aheadMs },
    dns: { nameservers, lookup: resolved }, server: serverUrl === undefined ? undefined : { url: serverUrl, error: answer?.error }, disk, memory, hardware,
    inotifyInstances: await number('/proc/sys/fs/inotify/max_user_instances'),
  };
}

async function readBody(): Promise<Hardware> {
  const [hardware, disk] = await Promise.all([readHardware(), new DiskWear().read()]);
  return { ...hardware, ...moreWorn(hardware.disk, disk) };
}

async function readCgroups(): Promise<HostReadings['cgroup']> {
  const bootLine = await text('/proc/cmdline') ?? '';
  const bootFile = (await Promise.all(bootFiles.map(async (file) => (await exists(file) ? file : undefined)))).find((file) => file !== undefined);
  const unified = await text('/sys/fs/cgroup/cgroup.controllers');
  if (unified !== undefined) return { version: 2, controllers: unified.split(/\s+/).filter(Boolean), bootLine, bootFile };
  // Version 1: what is switched on in the kernel and mounted, too.
  const enabled = (await text('/proc/cgroups') ?? '').split('\n').filter((line) => /^\w+\s+\d+\s+\d+\s+1$/.test(line)).map((line) => line.split(/\s/)[0] ?? '');
  const mounted = await Promise.all(enabled.map(async (name) => (await exists(join('/sys/fs/cgroup', name)) ? [name] : [])));
  return { version: mounted.flat().length > 0 ? 1 : undefined, controllers: mounted.flat(), bootLine, bootFile };
}

async function readProcesses(): Promise<ReadonlySet<string>> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const names = await Promise.all(pids.map((pid) => text(`/proc/${pid}/comm`)));
  return new Set(names.filter((name) => name !== undefined));
}

async function readPlugins(): Promise<string[]> {
  return (await Promise.all(cniDirs.map((dir) => readdir(dir).catch(() => [])))).flat();
}

async function foreignNetworks(): Promise<string[]> {
  return (await readdir('/etc/cni/net.d').catch(() => [])).filter((name) => /\.(conf|conflist|json)$/.test(name) && !name.includes('cleat'));
}

async function readClock(timedatectl: string | undefined): Promise<{ synchronized: boolean | undefined; canSync: boolean }> {
  if (timedatectl !== undefined && await exists('/run/systemd/system')) {
    const shown = await exec(timedatectl, ['show', '-p', 'CanNTP', '-p', 'NTP', '-p', 'NTPSynchronized'], { timeoutMs: 5000 }).catch(() => undefined);
    if (shown?.exitCode === 0) return { synchronized: /^NTPSynchronized=yes$/m.test(shown.stdout), canSync: /^CanNTP=yes$/m.test(shown.stdout) && !/^NTP=yes$/m.test(shown.stdout) };
  }
  return { synchronized: await exists('/run/systemd/timesync/synchronized') ? true : undefined, canSync: false };
}

async function readNameservers(): Promise<string[]> {
  return [...(await text('/etc/resolv.conf') ?? '').matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, address = '']) => address);
}

const writes = 8;
const blockBytes = 4096;

async function readDisk(stateDir: string): Promise<HostReadings['disk']> {
  let folder = stateDir;
  while (!await exists(folder) && dirname(folder) !== folder) folder = dirname(folder);
  const { bsize, blocks, bavail, files, ffree } = await statfs(folder);
  const writable = await access(folder, constants.W_OK).then(() => undefined, (error: NodeJS.ErrnoException) => error.code);
  return {
    folder, totalBytes: bsize * blocks, availableBytes: bsize * bavail, inodes: files, freeInodes: ffree, readOnly: writable === 'EROFS',
    syncMs: writable === undefined ? await syncTime(folder).catch(() => undefined) : undefined,
  };
}

/** The median of a few synced writes. */
async function syncTime(folder: string): Promise<number> {
  const scratch = await mkdtemp(join(folder, '.cleat-doctor-'));
  try {
    const file = await open(join(scratch, 'speed'), 'w');
    try {
      const times: number[] = [];
      for (let i = 0; i < writes; i++) {
        const before = performance.now();
        await file.write(Buffer.alloc(blockBytes, i), 0, blockBytes, i * blockBytes);
        await file.datasync();
        times.push(performance.now() - before);
      }
      return times.sort((a, b) => a - b)[writes / 2] ?? 0;
    } finally {
      await file.close();
    }
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function readMemory(): Promise<HostReadings['memory']> {
  const info = await text('/proc/meminfo') ?? '';
  const bytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(info)?.[1] ?? 0) * 1024;
  return { totalBytes: bytes('MemTotal'), availableBytes: bytes('MemAvailable') };
}

async function findProgram(name: string, searchPath: string): Promise<string | undefined> {
  // A user's path often has no sbin, where root finds these.
  for (const dir of [...searchPath.split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/local/bin', '/usr/bin', '/bin']) {
    if (dir !== '' && await access(join(dir, name), constants.X_OK).then(() => true, () => false)) return join(dir, name);
  }
  return undefined;
}

async function number(path: string): Promise<number | undefined> {
  const value = Number(await text(path) ?? Number.NaN);
  return Number.isFinite(value) ? value : undefined;
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(() => true, () => false);
}

async function text(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then((content) => content.trim(), () => undefined);
}
