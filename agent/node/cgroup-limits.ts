import { join } from 'node:path';
import { kernelText } from '#common/kernel-file.ts';

/**
 * The limits that the root of this process's cgroup namespace sets, and what is used below it. On a plain host there
 * are none; in a container or a test host they, not the machine, are what pods can have.
 */
export interface CgroupReadings {
  readonly memoryLimitBytes?: number;
  /** Used memory less the file cache that can be dropped at once. Set exactly when there is a memory limit. */
  readonly workingSetBytes?: number;
  readonly cpuLimitMillis?: number;
  readonly pidLimit?: number;
  readonly pidCount?: number;
  /** CPU time used since the cgroup was made; set exactly when there is a memory or CPU limit. */
  readonly cpuNanos?: bigint;
}

/** v1 writes "no limit" as a number near 2^63. */
const unlimited = 2 ** 60;

/** Reads version 1 and 2 hierarchies mounted at `root`; what this kernel lacks is absent. */
export function readCgroup(root = '/sys/fs/cgroup'): CgroupReadings {
  const number = (...path: string[]): number | undefined => {
    const text = kernelText(join(root, ...path));
    const value = text === undefined || text === 'max' ? Number.NaN : Number(text);
    return Number.isFinite(value) && value >= 0 && value < unlimited ? value : undefined;
  };
  const v2 = kernelText(join(root, 'cgroup.controllers')) !== undefined;
  const memoryLimitBytes = v2 ? number('memory.max') : number('memory', 'memory.limit_in_bytes');
  const cpuLimitMillis = v2 ? quotaMillis(kernelText(join(root, 'cpu.max'))) : quotaMillis(
    `${String(number('cpu', 'cpu.cfs_quota_us') ?? 'max')} ${String(number('cpu', 'cpu.cfs_period_us') ?? '')}`);
  const pidLimit = v2 ? number('pids.max') : number('pids', 'pids.max');
  const limited = memoryLimitBytes !== undefined || cpuLimitMillis !== undefined;
  return {
    ...(memoryLimitBytes !== undefined && { memoryLimitBytes, workingSetBytes: workingSet(root, v2, number) }),
    ...(cpuLimitMillis !== undefined && { cpuLimitMillis }),
    ...(pidLimit !== undefined && { pidLimit, pidCount: (v2 ? number('pids.current') : number('pids', 'pids.current')) ?? 0 }),
    ...(limited && { cpuNanos: cpuNanos(root, v2) }),
  };
}

function workingSet(root: string, v2: boolean, number: (...path: string[]) => number | undefined): number {
  const used = (v2 ? number('memory.current') : number('memory', 'memory.usage_in_bytes')) ?? 0;
  const stat = kernelText(v2 ? join(root, 'memory.stat') : join(root, 'memory', 'memory.stat')) ?? '';
  const inactive = Number(new RegExp(`^${v2 ? '' : 'total_'}inactive_file (\\d+)$`, 'm').exec(stat)?.[1] ?? 0);
  return Math.max(0, used - inactive);
}

function cpuNanos(root: string, v2: boolean): bigint {
  if (!v2) return BigInt(kernelText(join(root, 'cpuacct', 'cpuacct.usage')) ?? '0');
  return BigInt(/^usage_usec (\d+)$/m.exec(kernelText(join(root, 'cpu.stat')) ?? '')?.[1] ?? 0) * 1000n;
}

/** `QUOTA PERIOD` in microseconds, `max` for no quota. */
function quotaMillis(text: string | undefined): number | undefined {
  const [quota = 'max', period = ''] = (text ?? '').trim().split(' ');
  const millis = Math.floor((Number(quota) * 1000) / Number(period));
  return Number.isFinite(millis) && millis > 0 ? millis : undefined;
}
