import { readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { sendSignal } from './process.ts';

/** What a cgroup may use, in the words of version 1. */
export interface CgroupLimits {
  /** 2 to 262144; 1024 for one core. */
  readonly cpuShares: number;
  /** 0 for no limit. */
  readonly cpuQuotaMicros: number;
  readonly cpuPeriodMicros: number;
  /** 0 for no limit. */
  readonly memoryLimitBytes: number;
  /** What a limit of memory keeps out does not go to swap instead. */
  readonly noSwap?: boolean;
  /** Processes and threads; no limit when absent. */
  readonly pids?: number;
  /** By size of page, as the kernel writes it (`2MB`); left as they are when absent. */
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limitBytes: number }[];
}

/** What is mounted is not looked at again for so long. */
const knownMs = 60_000;

interface Mount { readonly path: string; readonly version: 1 | 2; readonly controllers: ReadonlySet<string> }

/** Sets the limits of a cgroup, as far as this kernel has them (memory is switched off on many boards). Rejects when the kernel refuses. */
export async function limitCgroup(path: string, limits: CgroupLimits): Promise<void> {
  const mounts = await cgroupMounts();
  // Where any controller uses version 1, the version 2 tree beside it has none.
  const legacy = mounts.filter(({ version }) => version === 1);
  for (const mount of legacy.length > 0 ? legacy : mounts) {
    for (const [file, text] of mount.version === 2 ? unifiedFiles(limits) : legacyFiles(mount, limits)) {
      await writeIfThere(join(folderOf(mount, path), file), text);
    }
  }
}

async function writeIfThere(path: string, text: string): Promise<void> {
  await writeFile(path, text, { flag: 'r+' }).catch((error: unknown) => {
    // Gone before it was opened, or since.
    if (!['ENOENT', 'ENODEV'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  });
}

function unifiedFiles({ cpuShares, cpuQuotaMicros, cpuPeriodMicros, memoryLimitBytes, noSwap = false, pids, hugepageLimits = [] }: CgroupLimits): [string, string][] {
  return [
    // The mapping that runc and the kernel's documentation of systemd use: 2..262144 → 1..10000.
    ['cpu.weight', String(1 + Math.floor(((cpuShares - 2) * 9999) / 262_142))],
    ['cpu.max', `${cpuQuotaMicros === 0 ? 'max' : String(cpuQuotaMicros)} ${String(cpuPeriodMicros)}`],
    ['memory.max', memoryLimitBytes === 0 ? 'max' : String(memoryLimitBytes)],
    ...(noSwap ? [['memory.swap.max', memoryLimitBytes === 0 ? 'max' : '0']] satisfies [string, string][] : []),
    ['pids.max', pids === undefined ? 'max' : String(pids)],
    ...hugepageLimits.map(({ pageSize, limitBytes }): [string, string] => [`hugetlb.${pageSize}.max`, String(limitBytes)]),
  ];
}

function legacyFiles({ controllers }: Mount, limits: CgroupLimits): [string, string][] {
  return [
    ...(controllers.has('cpu') ? [
      ['cpu.shares', String(limits.cpuShares)], ['cpu.cfs_period_us', String(limits.cpuPeriodMicros)], ['cpu.cfs_quota_us', String(limits.cpuQuotaMicros || -1)],
    ] satisfies [string, string][] : []),
    ...(controllers.has('memory') ? memoryFiles(limits) : []),
    ...(controllers.has('pids') ? [['pids.max', limits.pids === undefined ? 'max' : String(limits.pids)]] satisfies [string, string][] : []),
    ...(controllers.has('hugetlb') ? (limits.hugepageLimits ?? []).map(({ pageSize, limitBytes }): [string, string] => [`hugetlb.${pageSize}.limit_in_bytes`, String(limitBytes)]) : []),
  ];
}

/** Of memory with swap there is never less than of memory alone: that limit goes before the other is raised, and follows it. */
function memoryFiles({ memoryLimitBytes, noSwap = false }: CgroupLimits): [string, string][] {
  const limit: [string, string] = ['memory.limit_in_bytes', String(memoryLimitBytes || -1)];
  return noSwap ? [['memory.memsw.limit_in_bytes', '-1'], limit, ['memory.memsw.limit_in_bytes', limit[1]]] : [limit];
}

/** Whether the kernel counts what those below a cgroup have in swap, and can limit it. */
export async function limitsSwap(parent: string): Promise<boolean> {
  const folder = await cgroupFolder(parent, 'memory');
  return folder !== undefined && ['memory.swap.max', 'memory.memsw.limit_in_bytes'].some((file) => existsSync(join(folder, file)));
}

/** How many processes and threads are in a cgroup and those below it; 0 where this kernel does not count. */
export async function processCount(path: string): Promise<number> {
  const folder = await pidsFolder(path);
  return folder === undefined ? 0 : Number(await readFile(join(folder, 'pids.current'), 'utf8').catch(() => 0));
}

/** Sets how many processes and threads may be in a cgroup, as far as it is there. What is there already stays. */
export async function limitProcesses(path: string, pids: number): Promise<void> {
  const folder = await pidsFolder(path);
  if (folder !== undefined) await writeIfThere(join(folder, 'pids.max'), String(pids));
}

/** Where processes of a cgroup are counted and limited (`pids.current`, `pids.max`), there or not; undefined where this kernel does not count. */
export function pidsFolder(path: string): Promise<string | undefined> {
  return cgroupFolder(path, 'pids');
}

/** Where a controller has its files of a cgroup, there or not. */
export async function cgroupFolder(path: string, controller: string): Promise<string | undefined> {
  return (await cgroupPlaces())(path, controller)?.folder;
}

/** `path` is where the folder is in its hierarchy, which is not what the cgroup was asked for by where systemd makes them. */
export interface CgroupPlace { readonly folder: string; readonly path: string; readonly version: 1 | 2 }

/** The same of many cgroups, by one look at what is mounted. */
export async function cgroupPlaces(): Promise<(path: string, controller: string) => CgroupPlace | undefined> {
  const mounts = await cgroupMounts();
  return (path, controller) => {
    const mount = mounts.find(({ version, controllers }) => version === 1 && controllers.has(controller)) ?? mounts.find(({ version }) => version === 2);
    const folder = mount && folderOf(mount, path);
    return mount && folder !== undefined ? { folder, path: `/${relative(mount.path, folder)}`, version: mount.version } : undefined;
  };
}

/** Some process of a cgroup, or of one below it; undefined when there is none. */
export async function someProcess(path: string): Promise<number | undefined> {
  for (const folder of await foldersOf(path)) {
    for await (const pid of processesIn(folder)) return pid;
  }
  return undefined;
}

/** Kills all processes of a cgroup and of those below it, and tells how many there were. They end a little later; what one forks meanwhile the next call finds. */
export async function killProcesses(path: string): Promise<number> {
  const pids = new Set<number>();
  for (const folder of await foldersOf(path)) for await (const pid of processesIn(folder)) pids.add(pid);
  for (const pid of pids) {
    // One of another process id namespace is 0 here.
    if (pid > 1) sendSignal(pid, 'SIGKILL');
  }
  return pids.size;
}

async function* processesIn(dir: string): AsyncGenerator<number> {
  yield* (await readFile(join(dir, 'cgroup.procs'), 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number);
  for (const entry of await readdir(dir, { withFileTypes: true }).catch(() => [])) if (entry.isDirectory()) yield* processesIn(join(dir, entry.name));
}

/** Removes a cgroup and those below it from every hierarchy. False: something still lives in it, and the next removal gets it. */
export async function removeCgroup(path: string): Promise<boolean> {
  const folders = await foldersOf(path);
  await Promise.all(folders.map(removeTree));
  return !folders.some((folder) => existsSync(folder));
}

/** True when the kernel has killed something in the cgroup because its memory ran out. */
export async function ranOutOfMemory(path: string): Promise<boolean> {
  const texts = await Promise.all((await cgroupMounts()).filter(({ version, controllers }) => version === 2 || controllers.has('memory')).map((mount) => {
    return readFile(join(folderOf(mount, path), mount.version === 2 ? 'memory.events' : 'memory.oom_control'), 'utf8').catch(() => '');
  }));
  return texts.some((text) => Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0) > 0);
}

/** True where version 2 rules alone. */
export async function unifiedCgroups(): Promise<boolean> {
  return (await cgroupMounts()).every(({ version }) => version === 2);
}

/** Whether cgroups can hold anything to a limit of this kind (`hugetlb`). Where any controller uses version 1, the version 2 tree beside it has none. */
export async function hasController(name: string): Promise<boolean> {
  const mounts = await cgroupMounts();
  const [root] = mounts;
  if (mounts.some(({ version }) => version === 1)) return mounts.some(({ version, controllers }) => version === 1 && controllers.has(name));
  return root !== undefined && (await readFile(join(root.path, 'cgroup.controllers'), 'utf8').catch(() => '')).trim().split(' ').includes(name);
}

/** True where the kernel, short of memory, can be told to end all of a container and not some process of it: version 2 with memory accounting. */
export async function groupsOomKills(): Promise<boolean> {
  return await unifiedCgroups() && await hasController('memory');
}

/** Tells the kernel that (`groupsOomKills`) of the container that a process is in, for runtimes that cannot be told. Nothing when the process is gone. */
export async function groupOomKills(pid: number): Promise<void> {
  const [own] = (await readFile(`/proc/${String(pid)}/cgroup`, 'utf8').catch(() => '')).split('\n').filter((line) => line.startsWith('0::'));
  const [mount] = await cgroupMounts();
  if (own !== undefined && mount) await writeIfThere(join(mount.path, own.slice('0::'.length), 'memory.oom.group'), '1');
}

export interface CgroupUsage { readonly cpuNanos: bigint; readonly memoryBytes: number }

/** What the cgroup of a process has used; undefined when it is gone. Memory without what the kernel gives back first, as everywhere in Kubernetes. */
export async function usageOf(pid: number): Promise<CgroupUsage | undefined> {
  const lines = (await readFile(`/proc/${String(pid)}/cgroup`, 'utf8').catch(() => '')).split('\n').map((line) => line.split(':'));
  const mounts = await cgroupMounts();
  const read = async (controller: string, file: string): Promise<string> => {
    const legacy = mounts.find((mount) => mount.version === 1 && mount.controllers.has(controller));
    const mount = legacy ?? mounts.find(({ version }) => version === 2);
    const path = lines.find(([, controllers = '']) => (legacy ? controllers.split(',').includes(controller) : controllers === ''))?.slice(2).join(':');
    return mount && path !== undefined ? readFile(join(mount.path, path, file), 'utf8').catch(() => '') : '';
  };
  const value = (text: string, key: string): bigint => BigInt(new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
  const [legacyCpu, cpu, legacyMemory, memory, statistics] = await Promise.all([
    read('cpuacct', 'cpuacct.usage'), read('cpu', 'cpu.stat'), read('memory', 'memory.usage_in_bytes'), read('memory', 'memory.current'), read('memory', 'memory.stat'),
  ]);
  if (legacyCpu === '' && cpu === '') return undefined;
  const inactive = value(statistics, legacyMemory === '' ? 'inactive_file' : 'total_inactive_file');
  return {
    cpuNanos: legacyCpu === '' ? value(cpu, 'usage_usec') * 1000n : BigInt(legacyCpu.trim()),
    memoryBytes: Math.max(0, Number(BigInt((legacyMemory || memory || '0').trim()) - inactive)),
  };
}

/** What systemd calls a cgroup where it makes them for the runtime: the slice of `/kubepods/podA-B` is `kubepods-podA_B.slice`. */
export function sliceOf(path: string): string {
  return `${path.split('/').filter(Boolean).map((part) => part.replaceAll('-', '_')).join('-')}.slice`;
}

/** Where a cgroup is, or would be made. */
function folderOf(mount: Mount, path: string): string {
  return presentFolder(mount, path, slicesOf(path)) ?? join(mount.path, path);
}

/** Where a cgroup is, in each hierarchy that has it. */
async function foldersOf(path: string): Promise<string[]> {
  const slices = slicesOf(path);
  return (await cgroupMounts()).flatMap((mount) => presentFolder(mount, path, slices) ?? []);
}

function presentFolder({ path: root }: Mount, path: string, slices: string): string | undefined {
  return [path, slices].map((place) => join(root, place)).find((folder) => existsSync(folder));
}

/** A runtime that has systemd make them keeps each slice in that of its parent. */
function slicesOf(path: string): string {
  const parts = path.split('/').filter(Boolean);
  return join(...parts.map((_part, i) => sliceOf(parts.slice(0, i + 1).join('/'))));
}

let known: { readonly mounts: readonly Mount[]; readonly untilMs: number } = { mounts: [], untilMs: 0 };

/** Read now and then: they are mounted while a host boots, and each pod adds lines to what is to be read. */
async function cgroupMounts(): Promise<readonly Mount[]> {
  const nowMs = performance.now();
  if (known.mounts.length === 0 || nowMs >= known.untilMs) known = { mounts: await readMounts(), untilMs: nowMs + knownMs };
  return known.mounts;
}

async function readMounts(): Promise<Mount[]> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').filter((line) => line.includes(' cgroup')).map((line) => line.split(' '));
  // Copied, for V8 keeps the whole text as long as a part of it.
  const copied = (part: string): string => Buffer.from(part).toString();
  return mounts.flatMap(([, path = '', type, options = '']): Mount[] => (type === 'cgroup' || type === 'cgroup2' ? [{ path: copied(path), version: type === 'cgroup2' ? 2 : 1, controllers: new Set(copied(options).split(',')) }] : []));
}

async function removeTree(dir: string): Promise<void> {
  // Most have nothing below them.
  if (await rmdir(dir).then(() => true, () => false)) return;
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(dir, entry.name));
  await rmdir(dir).catch(() => undefined);
}
