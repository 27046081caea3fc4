import { existsSync, readlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { kernelEntries, kernelText } from '#common/kernel-file.ts';
import type { CgroupMore, CgroupUsage, ContainerDetails, DiskTraffic } from '#common/container-details.ts';
import type { cgroupPlaces } from './cgroups.ts';

type Places = Awaited<ReturnType<typeof cgroupPlaces>>;

interface Files {
  /** The text of a file of the controller that it belongs to; empty where there is none. */
  read(file: string): string;
  readonly version: 1 | 2;
}

/** What the kernel counts of one cgroup, read when it is asked for. */
export class CgroupCounters {
  readonly #places: Places;
  readonly #parent: string;
  readonly #container: string | undefined;
  readonly #deviceName: (number: string) => string | undefined;
  readonly #found = new Map<string, ReturnType<Places>>();

  /** `container`: the id of the container in the cgroup whose own is meant. `nameOf` is another in tests. */
  constructor(places: Places, cgroup: string, container?: string, nameOf = deviceName) {
    this.#places = places;
    this.#parent = cgroup;
    this.#container = container;
    this.#deviceName = nameOf;
  }

  /** As the kernel has it; undefined where it is not there. */
  get path(): string | undefined {
    const place = this.#place('memory') ?? this.#place('pids') ?? this.#place('cpu');
    return place?.path;
  }

  /** `all`: also what nobody but cAdvisor's readers ask for. */
  details(all = false): ContainerDetails {
    const [memory, cpu, quota, processes] = [memoryOf(this.#files('memory')), cpuOf(this.#files('cpu'), this.#files('cpuacct')), quotaOf(this.#files('cpu')), this.#files('pids')?.read('pids.current') ?? ''];
    return { ...(memory && { memory }), ...(cpu && { cpu }), ...(quota && { quota }), ...(processes !== '' && { processes: Number(processes) }), ...(all && { more: this.#more() }) };
  }

  /** All of it; undefined where the cgroup is not there. */
  usage(): CgroupUsage | undefined {
    const { path } = this;
    if (path === undefined) return undefined;
    const [cpu, details] = [cpuSeconds(this.#files('cpu'), this.#files('cpuacct')), this.details(true)];
    const memoryBytes = details.memory && Math.max(0, details.memory.usageBytes - inactiveBytes(this.#files('memory')));
    return { path, details, ...(cpu !== undefined && { cpuSeconds: cpu }), ...(memoryBytes !== undefined && { memoryBytes }) };
  }

  #more(): CgroupMore {
    const [cpu, memory, pids, disks] = [this.#files('cpu'), this.#files('memory'), this.#files('pids'), disksOf(this.#files('blkio'), this.#deviceName)];
    const shares = cpu && (cpu.version === 1 ? Number(cpu.read('cpu.shares')) : sharesOf(Number(cpu.read('cpu.weight'))));
    return {
      ...(shares !== undefined && shares > 0 && { cpuShares: shares }),
      ...(memory && {
        memorySwapLimitBytes: limited(memory.read(memory.version === 1 ? 'memory.memsw.limit_in_bytes' : 'memory.swap.max')),
        memoryReservationBytes: limited(memory.read(memory.version === 1 ? 'memory.soft_limit_in_bytes' : 'memory.min')),
      }),
      ...(pids && { processLimit: limited(pids.read('pids.max')) }),
      ...(disks.length > 0 && { disks }),
    };
  }

  #files(controller: string): Files | undefined {
    const place = this.#place(controller);
    return place && { version: place.version, read: (file) => kernelText(join(place.folder, file)) ?? '' };
  }

  /** Undefined where it is not there. */
  #place(controller: string): ReturnType<Places> {
    if (!this.#found.has(controller)) this.#found.set(controller, this.#find(controller));
    return this.#found.get(controller);
  }

  #find(controller: string): ReturnType<Places> {
    const place = this.#places(this.#parent, controller);
    if (place === undefined || this.#container === undefined) return place && existsSync(place.folder) ? place : undefined;
    const id = this.#container;
    // Called by its id, or `cri-containerd-ID.scope` where systemd makes them.
    const name = kernelEntries(place.folder).find((entry) => entry.includes(id));
    return name === undefined ? undefined : { ...place, folder: join(place.folder, name), path: join(place.path, name) };
  }
}

/** Version 1 writes "no limit" as a number near 2^63, version 2 as `max`. */
const unlimited = 2 ** 60;

/** 0 where there is no limit. */
function limited(text: string): number {
  const bytes = Number(text);
  return bytes > 0 && bytes < unlimited ? bytes : 0;
}

function memoryOf(files: Files | undefined): ContainerDetails['memory'] {
  const text = files?.read('memory.stat') ?? '';
  if (!files || text === '') return undefined;
  const legacy = files.version === 1;
  const of = (unified: string, old: string): number => value(text, legacy ? `total_${old}` : unified);
  const usage = files.read(legacy ? 'memory.usage_in_bytes' : 'memory.current');
  const limitBytes = limited(files.read(legacy ? 'memory.limit_in_bytes' : 'memory.max'));
  return {
    // The host's own cgroup does not tell it in version 2.
    usageBytes: usage === '' ? hostUsedBytes() : Number(usage), rssBytes: of('anon', 'rss'), cacheBytes: of('file', 'cache'), mappedBytes: of('file_mapped', 'mapped_file'),
    swapBytes: legacy ? value(text, 'total_swap') : Number(files.read('memory.swap.current')), pageFaults: of('pgfault', 'pgfault'), majorPageFaults: of('pgmajfault', 'pgmajfault'),
    ...(limitBytes > 0 && { limitBytes }), oomKills: value(files.read(legacy ? 'memory.oom_control' : 'memory.events'), 'oom_kill'),
  };
}

function inactiveBytes(files: Files | undefined): number {
  return value(files?.read('memory.stat') ?? '', files?.version === 1 ? 'total_inactive_file' : 'inactive_file');
}

function hostUsedBytes(): number {
  const text = kernelText('/proc/meminfo') ?? '';
  const of = (name: string): number => Number(new RegExp(`^${name}: +(\\d+) kB$`, 'm').exec(text)?.[1] ?? 0) * 1024;
  return of('MemTotal') - of('MemFree');
}

function cpuSeconds(files: Files | undefined, accounting: Files | undefined): number | undefined {
  if (accounting?.version === 1) return Number(accounting.read('cpuacct.usage')) / 1e9;
  return files && value(files.read('cpu.stat'), 'usage_usec') / 1e6;
}

function cpuOf(files: Files | undefined, accounting: Files | undefined): ContainerDetails['cpu'] {
  if (accounting?.version === 1) {
    const [user, system] = [accounting.read('cpuacct.usage_user'), accounting.read('cpuacct.usage_sys')];
    return user === '' ? undefined : { userSeconds: Number(user) / 1e9, systemSeconds: Number(system) / 1e9 };
  }
  const text = files?.read('cpu.stat') ?? '';
  return /^user_usec /m.test(text) ? { userSeconds: value(text, 'user_usec') / 1e6, systemSeconds: value(text, 'system_usec') / 1e6 } : undefined;
}

function quotaOf(files: Files | undefined): ContainerDetails['quota'] {
  if (!files) return undefined;
  const legacy = files.version === 1;
  const [quotaMicros = Number.NaN, periodMicros = Number.NaN] = legacy ? [Number(files.read('cpu.cfs_quota_us')), Number(files.read('cpu.cfs_period_us'))] : files.read('cpu.max').split(' ').map(Number);
  if (!(quotaMicros > 0)) return undefined;
  const text = files.read('cpu.stat');
  const throttledSeconds = legacy ? value(text, 'throttled_time') / 1e9 : value(text, 'throttled_usec') / 1e6;
  return { quotaMicros, periodMicros, periods: value(text, 'nr_periods'), throttledPeriods: value(text, 'nr_throttled'), throttledSeconds };
}

/** The inverse of how weights are made of shares, as cAdvisor has it. */
function sharesOf(weight: number): number {
  return weight > 0 ? 2 + Math.floor(((weight - 1) * 262_142) / 9999) : 0;
}

function disksOf(files: Files | undefined, nameOf: (number: string) => string | undefined): DiskTraffic[] {
  if (!files) return [];
  const found = files.version === 2 ? unifiedDisks(files.read('io.stat')) : legacyDisks(files);
  return [...found].flatMap(([number, traffic]) => {
    const device = nameOf(number);
    return device === undefined ? [] : [{ device, ...traffic }];
  });
}

type Traffic = Omit<DiskTraffic, 'device'>;

/** `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0` */
function unifiedDisks(text: string): Map<string, Traffic> {
  return new Map(text.split('\n').filter((line) => line.includes('=')).map((line) => {
    const [number = '', ...pairs] = line.split(' ');
    const of = (name: string): number => Number(pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? 0);
    return [number, { readBytes: of('rbytes'), writtenBytes: of('wbytes'), reads: of('rios'), writes: of('wios') }];
  }));
}

/** `8:0 Read 1`, of bytes in one file and of requests in another. */
function legacyDisks(files: Files): Map<string, Traffic> {
  const tables = ['blkio.throttle.io_service_bytes_recursive', 'blkio.throttle.io_serviced_recursive'].map((file) => new Map(files.read(file).split('\n').map((line) => {
    const [, name = '', amount = ''] = /^(\d+:\d+ (?:Read|Write)) (\d+)$/.exec(line) ?? [];
    return [name, Number(amount)];
  })));
  const of = (table: number, name: string): number => tables[table]?.get(name) ?? 0;
  const numbers = new Set([...tables[0]?.keys() ?? []].filter(Boolean).map((name) => name.split(' ')[0] ?? ''));
  return new Map([...numbers].map((number) => [number, { readBytes: of(0, `${number} Read`), writtenBytes: of(0, `${number} Write`), reads: of(1, `${number} Read`), writes: of(1, `${number} Write`) }]));
}

/** What the kernel calls a block device, below /dev; undefined for one that is gone. */
export function deviceName(number: string): string | undefined {
  try {
    return `/dev/${basename(readlinkSync(join('/sys/dev/block', number)))}`;
  } catch {
    return undefined;
  }
}

function value(text: string, key: string): number {
  return Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}
