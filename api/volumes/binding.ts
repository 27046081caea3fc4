import type { PersistentVolume, PersistentVolumeClaim, Pod } from '../gen/types.ts';
import { compareQuantities } from '../meta/quantity.ts';
import { matchesLabels, requirementsOf } from '../meta/selectors.ts';

/** Annotations by which those who bind, provision and schedule agree; the names are Kubernetes'. */
export const annotations = {
  bindCompleted: 'pv.kubernetes.io/bind-completed',
  boundByController: 'pv.kubernetes.io/bound-by-controller',
  provisionedBy: 'pv.kubernetes.io/provisioned-by',
  selectedNode: 'volume.kubernetes.io/selected-node',
  storageProvisioner: 'volume.kubernetes.io/storage-provisioner',
  oldStorageProvisioner: 'volume.beta.kubernetes.io/storage-provisioner',
  storageClass: 'volume.beta.kubernetes.io/storage-class',
} as const;

/** Makes directories on the nodes themselves. */
export const localPathProvisioner = 'cleat.dev/local-path';
/** Node on which such a directory is, on its volume. */
export const localPathNode = 'cleat.dev/node';

/** Name of the storage class; empty for none. */
export function storageClassOf({ metadata, spec }: PersistentVolume | PersistentVolumeClaim): string {
  return metadata?.annotations?.[annotations.storageClass] ?? spec?.storageClassName ?? '';
}

/** Names of the claims that a pod mounts, those included that are made for it. */
export function claimNamesOf({ metadata, spec }: Pod): string[] {
  return (spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => persistentVolumeClaim?.claimName ?? (ephemeral ? `${metadata?.name ?? ''}-${name}` : []));
}

export function isFullyBound({ metadata, spec }: PersistentVolumeClaim): boolean {
  return (spec?.volumeName ?? '') !== '' && metadata?.annotations?.[annotations.bindCompleted] !== undefined;
}

/** The volume is taken by, or reserved for, the claim. */
export function isFor({ spec }: PersistentVolume, { metadata }: PersistentVolumeClaim): boolean {
  const { name, namespace, uid } = spec?.claimRef ?? {};
  return name === metadata?.name && namespace === metadata?.namespace && (!uid || uid === metadata?.uid);
}

/** The volume that wastes least of those that satisfy the claim; one that is reserved for it before all others. */
export function findVolume(claim: PersistentVolumeClaim, volumes: readonly PersistentVolume[], isUsable: (volume: PersistentVolume) => boolean = () => true): PersistentVolume | undefined {
  const wanted = claim.spec?.resources?.requests?.['storage'] ?? '0';
  const modes = claim.spec?.accessModes ?? [];
  const labels = claim.spec?.selector && requirementsOf(claim.spec.selector);
  const fits = (volume: PersistentVolume): boolean => {
    const { spec } = volume;
    return (spec?.volumeMode ?? 'Filesystem') === (claim.spec?.volumeMode ?? 'Filesystem') && compareQuantities(spec?.capacity?.['storage'] ?? '0', wanted) >= 0
      && modes.every((mode) => spec?.accessModes?.includes(mode)) && isUsable(volume);
  };
  const isFree = (volume: PersistentVolume): boolean => volume.metadata?.deletionTimestamp === undefined && volume.spec?.claimRef === undefined && volume.status?.phase === 'Available'
    && storageClassOf(volume) === storageClassOf(claim) && (labels === undefined || matchesLabels(labels, volume.metadata?.labels));
  const reserved = volumes.find((volume) => volume.spec?.claimRef !== undefined && isFor(volume, claim) && fits(volume));
  if (reserved !== undefined) return reserved;
  const size = ({ spec }: PersistentVolume): string => spec?.capacity?.['storage'] ?? '0';
  return volumes.filter((volume) => isFree(volume) && fits(volume)).sort((a, b) => compareQuantities(size(a), size(b)))[0];
}
