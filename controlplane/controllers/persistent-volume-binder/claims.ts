import type { PersistentVolume, PersistentVolumeClaim, StorageClass } from '#api/gen/types.ts';
import { persistentVolumeClaims, persistentVolumes } from '#api/kinds/resources.ts';
import { annotations, findVolume, isFor, isFullyBound, localPathProvisioner, storageClassOf } from '#api/volumes/binding.ts';
import { equal } from '#api/meta/equal.ts';
import { compareQuantities } from '#api/meta/quantity.ts';
import { eventAction } from '../execute.ts';
import { withMetadata } from '../owner-refs.ts';
import type { Action } from '../types.ts';
import { localVolume, type ProvisionerNode } from './local-path.ts';

export interface ClaimSnapshot {
  readonly claim: PersistentVolumeClaim;
  readonly volumes: readonly PersistentVolume[];
  readonly storageClass: StorageClass | undefined;
  /** Where a directory could be made for this claim: the node that the scheduler has chosen, or any. */
  readonly node: () => ProvisionerNode | undefined;
}

/** The next step that brings a claim nearer to a volume. Each write brings the claim, or its volume, back for the step after it. */
export function reconcileClaim(snapshot: ClaimSnapshot): Action[] {
  const { claim, volumes } = snapshot;
  if (claim.metadata?.deletionTimestamp !== undefined) return [];
  const name = claim.spec?.volumeName ?? '';
  return name === '' ? unbound(snapshot) : named(claim, volumes.find(({ metadata }) => metadata?.name === name));
}

function unbound(snapshot: ClaimSnapshot): Action[] {
  const { claim, volumes, storageClass } = snapshot;
  const waits = storageClass?.volumeBindingMode === 'WaitForFirstConsumer' && claim.metadata?.annotations?.[annotations.selectedNode] === undefined;
  // A volume that names the claim is its own in any case; among the others the scheduler chooses for claims that wait for their pod.
  const volume = findVolume(claim, waits ? volumes.filter(({ spec }) => spec?.claimRef !== undefined) : volumes);
  if (volume !== undefined) return take(claim, volume);
  if (waits) return [tell(claim, 'Normal', 'WaitForFirstConsumer', 'waiting for first consumer to be created before binding')];
  return provision(snapshot);
}

/** First the volume says whose it is, then the claim: who finds the first alone can go on. */
function take(claim: PersistentVolumeClaim, volume: PersistentVolume): Action[] {
  const { name, namespace, uid } = claim.metadata ?? {};
  const { claimRef } = volume.spec ?? {};
  if (claimRef?.uid !== uid) {
    const marked = claimRef === undefined ? withMetadata(volume, { annotations: { ...volume.metadata?.annotations, [annotations.boundByController]: 'yes' } }) : volume;
    return [{ type: 'update', resource: persistentVolumes, object: { ...marked, spec: { ...volume.spec, claimRef: { apiVersion: 'v1', kind: persistentVolumeClaims.kind, name, namespace, uid } } } as PersistentVolume }];
  }
  const marks = { ...claim.metadata?.annotations, [annotations.bindCompleted]: 'yes', [annotations.boundByController]: 'yes' };
  return [{ type: 'update', resource: persistentVolumeClaims, object: { ...withMetadata(claim, { annotations: marks }), spec: { ...claim.spec, volumeName: volume.metadata?.name } } as PersistentVolumeClaim }];
}

function named(claim: PersistentVolumeClaim, volume: PersistentVolume | undefined): Action[] {
  const name = claim.spec?.volumeName ?? '';
  if (volume === undefined) {
    return isFullyBound(claim) ? lose(claim, 'ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!') : [];
  }
  if (volume.spec?.claimRef !== undefined && !isFor(volume, claim)) {
    return isFullyBound(claim) ? lose(claim, 'ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly')
      : [tell(claim, 'Warning', 'FailedBinding', `volume ${JSON.stringify(name)} already bound to a different claim.`)];
  }
  if (!isFullyBound(claim) || volume.spec?.claimRef?.uid !== claim.metadata?.uid) {
    if (findVolume(claim, [{ ...volume, spec: { ...volume.spec, claimRef: { name: claim.metadata?.name, namespace: claim.metadata?.namespace } } }]) === undefined) {
      return [tell(claim, 'Warning', 'VolumeMismatch', `Cannot bind to requested volume ${JSON.stringify(name)}: the volume does not satisfy the claim`)];
    }
    if (volume.spec?.claimRef?.uid !== claim.metadata?.uid) return take(claim, volume);
    return [{ type: 'update', resource: persistentVolumeClaims, object: withMetadata(claim, { annotations: { ...claim.metadata?.annotations, [annotations.bindCompleted]: 'yes' } }) }];
  }
  const { accessModes, capacity } = volume.spec ?? {};
  const status = { ...claim.status, phase: 'Bound', accessModes, capacity: claim.status?.capacity ?? capacity };
  return equal(status, claim.status) ? grow(claim, volume) : [{ type: 'update', resource: persistentVolumeClaims, object: { ...claim, status } as PersistentVolumeClaim, subresource: 'status' }];
}

/** What a claim asks for beyond what it has. A directory is as large as its disk, so that only the figures grow; all else is for the driver's resizer. */
function grow(claim: PersistentVolumeClaim, volume: PersistentVolume): Action[] {
  const { spec, status } = claim;
  const wanted = spec?.resources?.requests?.['storage'] ?? '0';
  const size = volume.spec?.capacity?.['storage'] ?? '0';
  if (compareQuantities(wanted, status?.capacity?.['storage'] ?? '0') <= 0) return [];
  if (volume.metadata?.annotations?.[annotations.provisionedBy] !== localPathProvisioner) {
    const isWorkedOn = status?.allocatedResourceStatuses?.['storage'] !== undefined || (status?.conditions ?? []).some(({ type }) => type === 'Resizing' || type === 'FileSystemResizePending');
    return isWorkedOn ? [] : [tell(claim, 'Normal', 'ExternalExpanding', "didn't find a plugin capable of expanding the volume; waiting for an external controller to process this PVC")];
  }
  if (compareQuantities(size, wanted) < 0) return [{ type: 'update', resource: persistentVolumes, object: { ...volume, spec: { ...volume.spec, capacity: { ...volume.spec?.capacity, storage: wanted } } } as PersistentVolume }];
  return [
    { type: 'update', resource: persistentVolumeClaims, object: { ...claim, status: { ...status, capacity: { ...status?.capacity, storage: size } } } as PersistentVolumeClaim, subresource: 'status' },
    tell(claim, 'Normal', 'VolumeResizeSuccessful', 'Resize volume succeeded'),
  ];
}

function lose(claim: PersistentVolumeClaim, reason: string, message: string): Action[] {
  if (claim.status?.phase === 'Lost') return [];
  return [{ type: 'update', resource: persistentVolumeClaims, object: { ...claim, status: { phase: 'Lost' } } as PersistentVolumeClaim, subresource: 'status' }, tell(claim, 'Warning', reason, message)];
}

function provision({ claim, storageClass, node }: ClaimSnapshot): Action[] {
  const className = storageClassOf(claim);
  if (className === '') return [tell(claim, 'Normal', 'FailedBinding', 'no persistent volumes available for this claim and no storage class is set')];
  if (storageClass === undefined) return [tell(claim, 'Warning', 'ProvisioningFailed', `storageclass.storage.k8s.io ${JSON.stringify(className)} not found`)];
  const { provisioner } = storageClass;
  if (provisioner === 'kubernetes.io/no-provisioner') return [tell(claim, 'Normal', 'FailedBinding', 'no persistent volumes available for this claim and no storage class is set')];
  const given = claim.metadata?.annotations ?? {};
  if (given[annotations.storageProvisioner] !== provisioner) {
    const marks = { ...given, [annotations.oldStorageProvisioner]: provisioner, [annotations.storageProvisioner]: provisioner };
    return [{ type: 'update', resource: persistentVolumeClaims, object: withMetadata(claim, { annotations: marks }) }];
  }
  if (provisioner !== localPathProvisioner) {
    return [tell(claim, 'Normal', 'ExternalProvisioning', `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.`)];
  }
  const made = localVolume(claim, storageClass, node());
  if (typeof made === 'string') return [tell(claim, 'Warning', 'ProvisioningFailed', `failed to provision volume with StorageClass ${JSON.stringify(className)}: ${made}`)];
  return [{ type: 'create', resource: persistentVolumes, object: made }, tell(claim, 'Normal', 'ProvisioningSucceeded', `Successfully provisioned volume ${made.metadata?.name ?? ''}`)];
}

function tell(claim: PersistentVolumeClaim, severity: 'Normal' | 'Warning', reason: string, message: string): Action {
  return eventAction(persistentVolumeClaims, claim, severity, reason, message);
}
