import type { VolumeStats } from './contract.ts';
import type { VolumeAmounts } from '#agent/session/types.ts';

/** What a driver says of a volume, under the names that kubelet gives it. Anything below nothing is not believed. */
export function amountsOf({ usage, volumeCondition }: VolumeStats): VolumeAmounts {
  const of = (unit: string): VolumeStats['usage'][number] | undefined => usage.find((one) => one.unit === unit && Math.min(one.available, one.total, one.used) >= 0);
  const [bytes, inodes] = [of('BYTES'), of('INODES')];
  return {
    ...(bytes && { availableBytes: bytes.available, capacityBytes: bytes.total, usedBytes: bytes.used }),
    ...(inodes && { inodesFree: inodes.available, inodes: inodes.total, inodesUsed: inodes.used }),
    ...(volumeCondition && { abnormal: volumeCondition.abnormal }),
  };
}
