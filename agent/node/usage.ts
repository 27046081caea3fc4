import type { Clock } from '#common/clock.ts';
import type { HostUsage } from '#agent/session/types.ts';
import { DiskWear, moreWorn } from '#common/disk-wear.ts';
import { kernelText } from '#common/kernel-file.ts';
import { readHardware, type Hardware } from '#common/hardware.ts';
import { readCgroup } from './cgroup-limits.ts';
import { readPids } from './readings.ts';
import { memoryInformation } from './system-information.ts';

export interface NodeUsageSample extends HostUsage {
  readonly atMs: number;
  readonly windowMs: number;
}

interface CpuSample {
  readonly monotonicMs: number;
  /** CPU time used since some start. */
  readonly usedMs: number;
}

const minWindowMs = 500;
/** An older sample would tell of a time that nobody asks about. */
const maxWindowMs = 60_000;

/**
 * CPU and memory use of this node, for `top`. Costs nothing until asked: the window is the time since the last
 * question, or half a second when that was long ago. A host with cgroup limits of its own reports what is used below them.
 */
export class NodeUsage {
  readonly #clock: Clock;
  readonly #wear = new DiskWear();
  #last: CpuSample | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async read(signal: AbortSignal): Promise<NodeUsageSample> {
    let first = this.#last;
    if (!first || this.#clock.monotonic() - first.monotonicMs > maxWindowMs) first = this.#sample();
    const ageMs = this.#clock.monotonic() - first.monotonicMs;
    if (ageMs < minWindowMs) await this.#clock.sleep(minWindowMs - ageMs, signal);
    const second = this.#sample();
    this.#last = second;
    const windowMs = Math.max(1, second.monotonicMs - first.monotonicMs);
    return {
      cpuMillis: Math.max(0, Math.round(((second.usedMs - first.usedMs) / windowMs) * 1000)),
      cpuSeconds: second.usedMs / 1000,
      memoryBytes: await workingSetBytes(), pids: readPids(), hardware: await this.#hardware(),
      atMs: this.#clock.now(), windowMs: Math.round(windowMs),
    };
  }

  async #hardware(): Promise<Hardware> {
    const hardware = await readHardware();
    return { ...hardware, ...moreWorn(hardware.disk, await this.#wear.read()) };
  }

  #sample(): CpuSample {
    const cgroup = readCgroup();
    const usedMs = cgroup.cpuNanos === undefined ? busyMs(kernelText('/proc/stat') ?? '') : Number(cgroup.cpuNanos / 1000n) / 1000;
    return { monotonicMs: this.#clock.monotonic(), usedMs };
  }
}

/** CPU time that /proc/stat counts as used, in milliseconds over all cores. */
export function busyMs(stat: string, ticksPerSecond = 100): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = (/^cpu +(.*)$/m.exec(stat)?.[1] ?? '').split(' ').map(Number);
  return ((user + nice + system + irq + softirq + steal) * 1000) / ticksPerSecond;
}

async function workingSetBytes(): Promise<number> {
  const { workingSetBytes: limited } = readCgroup();
  if (limited !== undefined) return limited;
  const { mem } = memoryInformation();
  const { total, available } = await mem();
  return total - available;
}
