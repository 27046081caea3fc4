import type { PersistentVolume } from '#api/gen/types.ts';
import { persistentVolumes } from '#api/kinds/resources.ts';
import type { Action } from '../types.ts';

export const volumeFinalizer = 'kubernetes.io/pv-protection';

/** A volume that was deleted goes when no claim is bound to it. Any other is protected from the start. */
export function reconcileVolume(volume: PersistentVolume): Action[] {
  const { finalizers = [], deletionTimestamp } = volume.metadata ?? {};
  const isProtected = finalizers.includes(volumeFinalizer);
  const keeping = (names: readonly string[]): Action[] => [{ type: 'update', resource: persistentVolumes, object: { ...volume, metadata: { ...volume.metadata, finalizers: [...names] } } }];
  if (deletionTimestamp === undefined) return isProtected ? [] : keeping([...finalizers, volumeFinalizer]);
  return isProtected && volume.status?.phase !== 'Bound' ? keeping(finalizers.filter((name) => name !== volumeFinalizer)) : [];
}
