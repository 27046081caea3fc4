import { chmod, chown, lstat, mkdir, rename } from 'node:fs/promises';
import type { EmptyDirVolumeSource, Pod } from '#api/gen/types.ts';
import { quantityValue } from '#api/meta/quantity.ts';
import { podTotals } from '#api/pod-spec/totals.ts';
import { StatusError } from '#common/errors.ts';
import { execOk } from '#common/exec.ts';
import { containersOf, initContainersOf } from '../spec/containers.ts';
import { mountInMemory } from './memory-mount.ts';
import { isMountPoint } from './mounts.ts';

/** Makes the directory of an emptyDir volume, on disk, in memory or in huge pages. */
export async function ensureEmptyDir(pod: Pod, dir: string, source: EmptyDirVolumeSource, nodeMemoryBytes: number): Promise<void> {
  const fsGroup = pod.spec?.securityContext?.fsGroup;
  const mode = fsGroup === undefined ? 0o777 : 0o2777;
  const medium = source.medium ?? '';
  if (medium === '') {
    if (await lstat(dir).catch(() => undefined)) return;
    // Made aside, so that it appears complete; what the pod makes of its owner and mode later is the pod's.
    const fresh = `${dir}.new`;
    await mkdir(fresh, { recursive: true });
    await chown(fresh, 0, fsGroup ?? 0);
    await chmod(fresh, mode);
    await rename(fresh, dir);
    return;
  }
  const options = [`mode=${mode.toString(8)}`, `gid=${String(fsGroup ?? 0)}`, ...medium === 'Memory' ? ['nosuid', 'nodev', ...memorySize(pod, source, nodeMemoryBytes)] : hugePageOptions(pod, medium)];
  await mkdir(dir, { recursive: true });
  if (await isMountPoint(dir)) return;
  if (medium === 'Memory') await mountInMemory(dir, options);
  else await execOk('mount', ['-t', 'hugetlbfs', '-o', options.join(','), 'hugetlbfs', dir]);
}

/** What is written there is the pod's memory: no more than the pod may have, or the volume, or the node; half of the machine's, as the kernel has it, where none is known. */
function memorySize({ spec }: Pod, { sizeLimit }: EmptyDirVolumeSource, nodeMemoryBytes: number): string[] {
  const limited = [...containersOf({ spec } as Pod), ...initContainersOf({ spec } as Pod)].every(({ resources }) => resources?.limits?.['memory'] !== undefined) || spec?.resources?.limits?.['memory'] !== undefined;
  const ofPod = spec && limited ? Number((podTotals(spec, 'limits').get('memory') ?? 0n) / 1_000_000_000n) : 0;
  const amounts = [nodeMemoryBytes, ofPod, sizeLimit === undefined ? 0 : quantityValue(sizeLimit)].filter((bytes) => bytes > 0);
  return amounts.length > 0 ? [`size=${String(Math.max(4096, Math.min(...amounts)))}`] : [];
}

/** `HugePages` alone is for pods that ask for pages of one size. */
function hugePageOptions({ spec }: Pod, medium: string): string[] {
  const totals = spec ? podTotals(spec, 'limits') : new Map<string, bigint>();
  const sizes = [...totals.keys()].filter((name) => name.startsWith('hugepages-'));
  const size = medium === 'HugePages' && sizes.length === 1 ? sizes[0]?.slice('hugepages-'.length) : /^HugePages-(\w+)$/.exec(medium)?.[1];
  if (size === undefined) throw new StatusError('Invalid', medium === 'HugePages' ? 'medium HugePages needs a pod that asks for huge pages of exactly one size; name it, as in HugePages-2Mi' : `unknown storage medium ${JSON.stringify(medium)}`);
  const bytes = (totals.get(`hugepages-${size}`) ?? 0n) / 1_000_000_000n;
  return [`pagesize=${size.replace(/i$/, '')}`, ...(bytes > 0n ? [`size=${String(bytes)}`] : [])];
}
