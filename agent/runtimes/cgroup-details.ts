import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ContainerDetails } from '#common/container-details.ts';
import { cgroupFolder } from './cgroups.ts';

/** The text of a file of the container's cgroup, of the controller that it belongs to; empty where there is none. */
type Read = (controller: string, file: string) => Promise<string>;

/** What the kernel counts of a container; `podCgroup` is the cgroup that its own is in. */
export async function containerDetails(podCgroup: string, id: string): Promise<ContainerDetails> {
  const read: Read = async (controller, file) => {
    const folder = await cgroupFolder(podCgroup, controller);
    // Called by its id, or `cri-containerd-ID.scope` where systemd makes them.
    const name = folder && (await readdir(folder).catch(() => [])).find((entry) => entry.includes(id));
    return folder === undefined || name === undefined ? '' : (await readFile(join(folder, name, file), 'utf8').catch(() => '')).trim();
  };
  const [memory, cpu, quota, processes] = await Promise.all([memoryOf(read), cpuOf(read), quotaOf(read), read('pids', 'pids.current')]);
  return { ...(memory && { memory }), ...(cpu && { cpu }), ...(quota && { quota }), ...(processes !== '' && { processes: Number(processes) }) };
}

/** Version 1 writes "no limit" as a number near 2^63, version 2 as `max`. */
const unlimited = 2 ** 60;

async function memoryOf(read: Read): Promise<ContainerDetails['memory']> {
  const [text, usage, legacyUsage, limit, legacyLimit, swap, events, legacyEvents] = await Promise.all([
    'memory.stat', 'memory.current', 'memory.usage_in_bytes', 'memory.max', 'memory.limit_in_bytes', 'memory.swap.current', 'memory.events', 'memory.oom_control',
  ].map((file) => read('memory', file))) as [string, string, string, string, string, string, string, string];
  if (text === '') return undefined;
  const legacy = usage === '';
  const of = (unified: string, old: string): number => value(text, legacy ? `total_${old}` : unified);
  const limitBytes = Number(legacy ? legacyLimit : limit);
  return {
    usageBytes: Number(legacy ? legacyUsage : usage), rssBytes: of('anon', 'rss'), cacheBytes: of('file', 'cache'), mappedBytes: of('file_mapped', 'mapped_file'),
    swapBytes: legacy ? value(text, 'total_swap') : Number(swap), pageFaults: of('pgfault', 'pgfault'), majorPageFaults: of('pgmajfault', 'pgmajfault'),
    ...(limitBytes > 0 && limitBytes < unlimited && { limitBytes }), oomKills: value(legacy ? legacyEvents : events, 'oom_kill'),
  };
}

async function cpuOf(read: Read): Promise<ContainerDetails['cpu']> {
  const [text, user, system] = await Promise.all([read('cpu', 'cpu.stat'), read('cpuacct', 'cpuacct.usage_user'), read('cpuacct', 'cpuacct.usage_sys')]);
  if (user !== '') return { userSeconds: Number(user) / 1e9, systemSeconds: Number(system) / 1e9 };
  return /^user_usec /m.test(text) ? { userSeconds: value(text, 'user_usec') / 1e6, systemSeconds: value(text, 'system_usec') / 1e6 } : undefined;
}

async function quotaOf(read: Read): Promise<ContainerDetails['quota']> {
  const [text, unified, legacyQuota, legacyPeriod] = await Promise.all([read('cpu', 'cpu.stat'), read('cpu', 'cpu.max'), read('cpu', 'cpu.cfs_quota_us'), read('cpu', 'cpu.cfs_period_us')]);
  const [quotaMicros = Number.NaN, periodMicros = Number.NaN] = unified === '' ? [Number(legacyQuota), Number(legacyPeriod)] : unified.split(' ').map(Number);
  if (!(quotaMicros > 0)) return undefined;
  const throttledSeconds = unified === '' ? value(text, 'throttled_time') / 1e9 : value(text, 'throttled_usec') / 1e6;
  return { quotaMicros, periodMicros, periods: value(text, 'nr_periods'), throttledPeriods: value(text, 'nr_throttled'), throttledSeconds };
}

function value(text: string, key: string): number {
  return Number(new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1] ?? 0);
}
