import type { PersistentVolume, PersistentVolumeClaim } from '#api/gen/types.ts';
import { persistentVolumes } from '#api/kinds/resources.ts';
import { annotations, localPathProvisioner } from '#api/volumes/binding.ts';
import { rfc3339 } from '#common/time.ts';
import { eventAction } from '../execute.ts';
import type { Action } from '../types.ts';

export interface VolumeDecision {
  readonly actions: readonly Action[];
  /** Nobody needs what is on it any more: it is to be removed, and then the volume. */
  readonly reclaim: boolean;
}

/** `claim` is the one that the volume names, if it is the very one; undefined says for certain that it is gone. */
export function reconcileVolume(volume: PersistentVolume, claim: PersistentVolumeClaim | undefined, nowMs: number): VolumeDecision {
  const { claimRef, persistentVolumeReclaimPolicy: policy = 'Retain' } = volume.spec ?? {};
  const decide = (...actions: Action[]): VolumeDecision => ({ actions, reclaim: false });
  if (claimRef === undefined || !claimRef.uid) return decide(...phase(volume, 'Available', nowMs));
  if (claim !== undefined) {
    if (!claim.spec?.volumeName || claim.spec.volumeName === volume.metadata?.name) return decide(...(claim.spec?.volumeName ? phase(volume, 'Bound', nowMs) : []));
    if (volume.metadata?.annotations?.[annotations.boundByController] === 'yes') return decide(unbind(volume));
    if (volume.metadata?.annotations?.[annotations.provisionedBy] === undefined) return decide(...phase(volume, 'Available', nowMs));
  }
  if (volume.status?.phase === 'Failed') return decide();
  const released = phase(volume, 'Released', nowMs);
  if (released.length > 0) return decide(...released);
  if (policy === 'Retain' || volume.metadata?.deletionTimestamp !== undefined) return decide();
  const provisioner = volume.metadata?.annotations?.[annotations.provisionedBy];
  if (policy === 'Delete' && provisioner === localPathProvisioner) return { actions: [], reclaim: true };
  // Whoever made it removes it.
  if (policy === 'Delete' && provisioner !== undefined) return decide();
  const message = policy === 'Delete' ? `error getting deleter volume plugin for volume ${JSON.stringify(volume.metadata?.name)}: no deletable volume plugin matched` : 'No recycler plugin found for the volume!';
  return decide(...phase(volume, 'Failed', nowMs, message), eventAction(persistentVolumes, volume, 'Warning', policy === 'Delete' ? 'VolumeFailedDelete' : 'VolumeFailedRecycle', message));
}

function phase(volume: PersistentVolume, next: string, nowMs: number, message?: string): Action[] {
  if (volume.status?.phase === next) return [];
  const status = { phase: next, lastPhaseTransitionTime: rfc3339(nowMs), ...(message !== undefined && { message }) };
  return [{ type: 'update', resource: persistentVolumes, object: { ...volume, status } as PersistentVolume, subresource: 'status' }];
}

function unbind(volume: PersistentVolume): Action {
  const { [annotations.boundByController]: _, ...others } = volume.metadata?.annotations ?? {};
  const { claimRef: _claim, ...spec } = volume.spec ?? {};
  return { type: 'update', resource: persistentVolumes, object: { ...volume, metadata: { ...volume.metadata, annotations: others }, spec } as PersistentVolume };
}
