import { isQuantity, quantityValue } from '#api/meta/quantity.ts';
import type { DiskReadings, HostReadings } from './readings.ts';

/** What kubelet calls eviction signals. Where images and pods share one file system, imagefs is nodefs. */
export type EvictionSignal = 'memory.available' | 'nodefs.available' | 'nodefs.inodesFree' | 'imagefs.available' | 'imagefs.inodesFree' | 'pid.available';
export type PressureCondition = 'MemoryPressure' | 'DiskPressure' | 'PIDPressure';

export interface Threshold {
  readonly signal: EvictionSignal;
  /** The amount below which there is pressure, of a capacity. */
  readonly limit: (capacity: number) => number;
  /** As it was written. */
  readonly text: string;
  /** 0 for a hard one; else it must be crossed so long before pods are evicted. */
  readonly graceMs: number;
  /** Once it is crossed, how much more than the limit there has to be, of a capacity; a fifth of the limit when absent. */
  readonly reclaim?: (capacity: number) => number;
}

/** A threshold that is crossed. */
export interface Pressure {
  readonly signal: EvictionSignal;
  readonly threshold: string;
  readonly available: number;
  readonly hard: boolean;
  /** Images, and what containers write, have a disk of their own. */
  readonly imagesApart?: boolean;
}

export const conditionOf: Readonly<Record<EvictionSignal, PressureCondition>> = {
  'memory.available': 'MemoryPressure', 'nodefs.available': 'DiskPressure', 'nodefs.inodesFree': 'DiskPressure',
  'imagefs.available': 'DiskPressure', 'imagefs.inodesFree': 'DiskPressure', 'pid.available': 'PIDPressure',
};

const mib = 1024 ** 2;
const atMost = (percent: number, most: number) => (capacity: number): number => Math.min(Math.ceil((capacity * percent) / 100), most);

/** Kubelet's, but with a cap where a share of something large would be large: 9 % of a big disk is not little. */
export const defaultThresholds: readonly Threshold[] = [
  { signal: 'memory.available', limit: atMost(10, 100 * mib), text: '100Mi', graceMs: 0 },
  { signal: 'nodefs.available', limit: atMost(10, 5120 * mib), text: '10%', graceMs: 0 },
  { signal: 'nodefs.inodesFree', limit: atMost(5, Infinity), text: '5%', graceMs: 0 },
  { signal: 'imagefs.available', limit: atMost(10, 5120 * mib), text: '10%', graceMs: 0 },
  { signal: 'imagefs.inodesFree', limit: atMost(5, Infinity), text: '5%', graceMs: 0 },
  { signal: 'pid.available', limit: atMost(5, 1000), text: '5%', graceMs: 0 },
];

const form = /^([a-zA-Z.]+)<(.+)$/;

/** `200Mi`, or `5%` of a capacity. Throws a sentence about what it is `of`. */
function amount(value: string, of: string): (capacity: number) => number {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(value)?.[1];
  if (percent === undefined && !isQuantity(value)) throw new Error(`${JSON.stringify(value)} of ${of} is neither a quantity such as 200Mi nor a share such as 5%`);
  return (capacity) => (percent === undefined ? quantityValue(value) : (capacity * Number(percent)) / 100);
}

/** `memory.available<200Mi,nodefs.available<5%`; `graces` for soft ones: `memory.available=1m30s`, by signal. Throws a sentence. */
export function parseThresholds(text: string, graces?: ReadonlyMap<string, number>): Threshold[] {
  return text.split(',').filter(Boolean).map((part) => {
    const [, signal = '', value = ''] = form.exec(part.trim()) ?? [];
    if (!isSignal(signal)) throw new Error(`${JSON.stringify(part)} is no threshold; expected SIGNAL<AMOUNT with one of ${Object.keys(conditionOf).join(', ')}`);
    const limit = amount(value, signal);
    const graceMs = graces?.get(signal) ?? 0;
    if (graces && graceMs <= 0) throw new Error(`the soft threshold of ${signal} needs a grace period: --eviction-soft-grace-period ${signal}=1m30s`);
    return { signal, text: value, graceMs, limit };
  });
}

/** By signal, from `nodefs.available=500Mi,imagefs.available=2%`: what evictions have to bring beyond the threshold. Throws a sentence. */
export function parseReclaims(text: string): ReadonlyMap<EvictionSignal, (capacity: number) => number> {
  return new Map(text.split(',').filter(Boolean).map((part) => {
    const [, signal = '', value = ''] = /^([a-zA-Z.]+)=(.+)$/.exec(part.trim()) ?? [];
    if (!isSignal(signal)) throw new Error(`${JSON.stringify(part)} is no amount to reclaim; expected SIGNAL=AMOUNT with one of ${Object.keys(conditionOf).join(', ')}`);
    return [signal, amount(value, signal)];
  }));
}

function isSignal(name: string): name is EvictionSignal {
  return Object.hasOwn(conditionOf, name);
}

/** What is left of what there is. Undefined where this host does not count it. */
export function amountsOf({ memoryAvailableBytes, memoryBytes, disk, imageDisk = disk, pids }: HostReadings, signal: EvictionSignal): { readonly available: number; readonly capacity: number } | undefined {
  switch (signal) {
    case 'memory.available': return { available: memoryAvailableBytes, capacity: memoryBytes };
    case 'nodefs.available': return bytesOf(disk);
    case 'imagefs.available': return bytesOf(imageDisk);
    case 'nodefs.inodesFree': return inodesOf(disk);
    case 'imagefs.inodesFree': return inodesOf(imageDisk);
    // Pods that have all that they may are as short of them as a host that has none left: what is kept for the host itself is not theirs.
    case 'pid.available': return { available: Math.min(pids.limit - pids.used, pids.pods ? Math.max(0, pids.pods.limit - pids.pods.used) : Infinity), capacity: pids.limit };
  }
}

function bytesOf({ availableBytes, totalBytes }: DiskReadings): { available: number; capacity: number } {
  return { available: availableBytes, capacity: totalBytes };
}

function inodesOf({ freeInodes, inodes }: DiskReadings): { available: number; capacity: number } | undefined {
  return inodes > 0 ? { available: freeInodes, capacity: inodes } : undefined;
}

/** A pressure ends only when there is this much more than where it begins, so that it does not flap. */
const clearShare = 0.2;

/** The thresholds that are crossed; `had` tells which were by now. */
export function crossed(thresholds: readonly Threshold[], readings: HostReadings, had: (threshold: Threshold) => boolean): Threshold[] {
  return thresholds.filter((threshold) => {
    const { signal, limit, reclaim } = threshold;
    const amounts = amountsOf(readings, signal);
    if (amounts === undefined) return false;
    const least = limit(amounts.capacity);
    return amounts.available < least + (had(threshold) ? reclaim?.(amounts.capacity) ?? clearShare * least : 0);
  });
}

/** Of a resource: what the strictest hard threshold keeps pods from having. */
export function keptBack(thresholds: readonly Threshold[], signal: EvictionSignal, capacity: number): number {
  return Math.max(0, ...thresholds.filter((threshold) => threshold.signal === signal && threshold.graceMs === 0).map(({ limit }) => Math.ceil(limit(capacity))));
}
