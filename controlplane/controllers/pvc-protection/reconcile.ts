import type { PersistentVolumeClaim, Pod } from '#api/gen/types.ts';
import { persistentVolumeClaims } from '#api/kinds/resources.ts';
import type { Action } from '../types.ts';

export const claimFinalizer = 'kubernetes.io/pvc-protection';

/** Keys of the claims that a pod mounts: those that it names, and those made for it. */
export function claimsOf({ metadata, spec }: Pod): string[] {
  const namespace = metadata?.namespace ?? '';
  return (spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    const claim = persistentVolumeClaim?.claimName ?? (ephemeral ? `${metadata?.name ?? ''}-${name}` : undefined);
    return claim === undefined ? [] : [`${namespace}/${claim}`];
  });
}

/** A claim that was deleted goes when no pod that has a node is left that mounts it. Any other is protected from the start. */
export function reconcileClaim(claim: PersistentVolumeClaim, users: readonly Pod[]): Action[] {
  const { finalizers = [], deletionTimestamp } = claim.metadata ?? {};
  const isProtected = finalizers.includes(claimFinalizer);
  const keeping = (names: readonly string[]): Action[] => [{ type: 'update', resource: persistentVolumeClaims, object: { ...claim, metadata: { ...claim.metadata, finalizers: [...names] } } }];
  if (deletionTimestamp === undefined) return isProtected ? [] : keeping([...finalizers, claimFinalizer]);
  const inUse = users.some(({ spec }) => spec?.nodeName);
  return isProtected && !inUse ? keeping(finalizers.filter((name) => name !== claimFinalizer)) : [];
}
