import { join } from 'node:path';
import type { Pod } from '#api/gen/types.ts';
import { formatQuantity, quantityValue } from '#api/meta/quantity.ts';
import { podTotals } from '#api/pod-spec/totals.ts';
import { initContainersOf, containersOf } from '../spec/containers.ts';
import type { PodPaths } from '../paths.ts';
import type { Pressure } from '#agent/node/thresholds.ts';
import { diskUsage, type DiskUsage } from '#common/disk-usage.ts';
import type { Written } from '#agent/runtimes/types.ts';

const none: DiskUsage = { bytes: 0, inodes: 0 };

/** What a pod keeps on the host's disk, by the parts that limits are on. */
export interface LocalStorage {
  /** emptyDir volumes on disk, by name. */
  readonly emptyDirs: ReadonlyMap<string, DiskUsage>;
  /** Logs and writable layer, by container name. */
  readonly containers: ReadonlyMap<string, DiskUsage>;
  readonly total: DiskUsage;
  /** Of that, what is in writable layers that are where images are. */
  readonly writable: DiskUsage;
}

/** Whether anything of the pod is limited that only looking can tell. */
export function hasStorageLimits({ spec }: Pod): boolean {
  return (spec?.volumes ?? []).some(({ emptyDir }) => quantityValue(emptyDir?.sizeLimit ?? '0') > 0 && (emptyDir?.medium ?? '') === '')
    || [...spec?.containers ?? [], ...spec?.initContainers ?? []].some(({ resources }) => resources?.limits?.['ephemeral-storage'] !== undefined);
}

/** `writable`: what is in the containers' own layers, by container name. */
export async function measureStorage(pod: Pod, paths: PodPaths, writable: ReadonlyMap<string, Written>, signal: AbortSignal): Promise<LocalStorage> {
  const emptyDirs = new Map<string, DiskUsage>();
  for (const { name, emptyDir } of pod.spec?.volumes ?? []) {
    if (emptyDir && (emptyDir.medium ?? '') === '') emptyDirs.set(name, await diskUsage(join(paths.volumes, name), signal));
  }
  const containers = new Map<string, DiskUsage>();
  for (const { name } of [...initContainersOf(pod), ...containersOf(pod)]) {
    containers.set(name, sumOf(await diskUsage(join(paths.logs, name), signal), writable.get(name) ?? none));
  }
  return { emptyDirs, containers, total: sumOf(...emptyDirs.values(), ...containers.values()), writable: sumOf(...[...writable.values()].filter(({ withState }) => withState !== true)) };
}

/**
 * What a pod has of the disk that is short of something, as kubelet ranks: where images have a disk of their own,
 * writable layers are there, and logs and volumes are not.
 */
export function usedOf({ total, writable }: LocalStorage, { signal, imagesApart = false }: Pick<Pressure, 'signal' | 'imagesApart'>): number {
  const part = signal.endsWith('.inodesFree') ? 'inodes' : 'bytes';
  return !imagesApart ? total[part] : signal.startsWith('imagefs.') ? writable[part] : total[part] - writable[part];
}

function sumOf(...parts: readonly DiskUsage[]): DiskUsage {
  return parts.reduce((sum, { bytes, inodes }) => ({ bytes: sum.bytes + bytes, inodes: sum.inodes + inodes }), none);
}

/** A limit of its own that a pod has gone beyond, as kubelet calls it and in its words. */
export interface StorageExcess { readonly signal: 'emptydirfs.limit' | 'ephemeralpodfs.limit' | 'ephemeralcontainerfs.limit'; readonly message: string }

/** The first limit that the pod has gone beyond; undefined when it keeps to all. */
export function storageExcess(pod: Pod, { emptyDirs, containers, total }: LocalStorage): StorageExcess | undefined {
  for (const { name, emptyDir } of pod.spec?.volumes ?? []) {
    const limit = emptyDir?.sizeLimit;
    // None at all is no limit.
    if (limit !== undefined && quantityValue(limit) > 0 && (emptyDirs.get(name)?.bytes ?? 0) > quantityValue(limit)) return { signal: 'emptydirfs.limit', message: `Usage of EmptyDir volume "${name}" exceeds the limit "${limit}". ` };
  }
  const all = [...containersOf(pod), ...initContainersOf(pod)];
  // The sum of those that there are, whether or not each has one, as with kubelet.
  const [first] = all.flatMap(({ resources }) => resources?.limits?.['ephemeral-storage'] ?? []);
  const limit = pod.spec && podTotals(pod.spec, 'limits').get('ephemeral-storage');
  if (first !== undefined && limit !== undefined && total.bytes > Number(limit / 1_000_000_000n)) {
    return { signal: 'ephemeralpodfs.limit', message: `Pod ephemeral local storage usage exceeds the total limit of containers ${formatQuantity(limit, first.endsWith('i') ? 'BinarySI' : 'DecimalSI')}. ` };
  }
  for (const { name, resources } of all) {
    const limit = resources?.limits?.['ephemeral-storage'];
    if (limit !== undefined && quantityValue(limit) > 0 && (containers.get(name)?.bytes ?? 0) > quantityValue(limit)) return { signal: 'ephemeralcontainerfs.limit', message: `Container ${name} exceeded its local ephemeral storage limit "${limit}". ` };
  }
  return undefined;
}
