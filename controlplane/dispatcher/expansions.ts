import type { PersistentVolume, PersistentVolumeClaim } from '#api/gen/types.ts';
import { persistentVolumeClaims, persistentVolumes, pods } from '#api/kinds/resources.ts';
import { setCondition } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import { compareQuantities } from '#api/meta/quantity.ts';
import { claimNamesOf, isFor } from '#api/volumes/binding.ts';
import { isStatus } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import type { ApiClient, EventRecorder } from '../apiserver/types.ts';

/** What a node says of a volume that it was to make larger for its pods: it has `capacity`, unless there is an error. */
export interface VolumeExpansion {
  readonly volume: string;
  readonly capacity: string;
  readonly error?: string;
  readonly infeasible?: boolean;
}

const maxExpansions = 256;
const attempts = 4;
/** What is said of a claim while its volume grows, and no longer. */
const ofGrowing = new Set(['Resizing', 'FileSystemResizePending', 'ControllerResizeError', 'NodeResizeError']);

export interface ExpansionDeps { readonly api: ApiClient; readonly events: EventRecorder }

/** Tells claims what became of their volumes on the node. A node has a say about those alone that a pod of it uses. */
export async function storeExpansions(deps: ExpansionDeps, nodeName: string, expansions: readonly VolumeExpansion[], nowMs: number): Promise<void> {
  for (const expansion of expansions.slice(0, maxExpansions)) {
    for (let attempt = 1; ; attempt++) {
      try {
        await storeExpansion(deps, nodeName, expansion, nowMs);
        break;
      } catch (error) {
        if (!isStatus(error, 'Conflict') || attempt === attempts) throw error;
      }
    }
  }
}

async function storeExpansion({ api, events }: ExpansionDeps, nodeName: string, expansion: VolumeExpansion, nowMs: number): Promise<void> {
  const volume = await present(api.get(persistentVolumes, undefined, expansion.volume));
  const { name = '', namespace, uid } = volume?.spec?.claimRef ?? {};
  const claim = volume && await present(api.get(persistentVolumeClaims, namespace, name));
  if (!volume || claim?.metadata?.uid !== uid || !claim || !isFor(volume, claim)) return;
  const after = afterExpansion(claim, volume, expansion, nowMs);
  if (equal(after, claim)) return;
  const { items } = await api.list(pods, namespace, { fieldSelector: `spec.nodeName=${nodeName}` });
  if (!items.some((pod) => claimNamesOf(pod).includes(name))) return;
  await api.update(persistentVolumeClaims, after, 'status');
  const about = { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: claim.metadata, host: nodeName };
  if (expansion.error === undefined) events.event(about, 'Normal', 'FileSystemResizeSuccessful', `MountVolume.NodeExpandVolume succeeded for volume "${expansion.volume}" ${nodeName}`);
  else events.event(about, 'Warning', 'VolumeResizeFailed', `NodeExpandVolume.NodeExpandVolume failed for volume "${expansion.volume}" : ${expansion.error}`);
}

/** The claim as the kubelet would write it. What the volume is not, no node can make its claim say. */
export function afterExpansion(claim: PersistentVolumeClaim, { spec }: PersistentVolume, { capacity, error, infeasible }: VolumeExpansion, nowMs: number): PersistentVolumeClaim {
  const { status = {} } = claim;
  const size = spec?.capacity?.['storage'] ?? '0';
  if (compareQuantities(status.capacity?.['storage'] ?? '0', capacity) >= 0 || compareQuantities(capacity, size) > 0) return claim;
  const { storage: _storage, ...otherStatuses } = status.allocatedResourceStatuses ?? {};
  if (error !== undefined) {
    const conditions = setCondition(status.conditions, { type: 'NodeResizeError', status: 'True', message: `failed to expand pvc with ${error}` }, rfc3339(nowMs));
    return { ...claim, status: { ...status, conditions, allocatedResourceStatuses: { ...otherStatuses, storage: infeasible === true ? 'NodeResizeInfeasible' : 'NodeResizeInProgress' } } };
  }
  const { conditions, allocatedResourceStatuses: _statuses, ...rest } = status;
  const isComplete = compareQuantities(capacity, size) === 0;
  const kept = isComplete ? conditions?.filter(({ type }) => !ofGrowing.has(type)) ?? [] : conditions ?? [];
  const statuses = isComplete ? otherStatuses : status.allocatedResourceStatuses ?? {};
  return {
    ...claim,
    status: { ...rest, capacity: { ...status.capacity, storage: capacity }, ...(kept.length > 0 && { conditions: kept }), ...(Object.keys(statuses).length > 0 && { allocatedResourceStatuses: statuses }) },
  };
}

async function present<T>(asked: Promise<T>): Promise<T | undefined> {
  return asked.catch((error: unknown) => {
    if (isStatus(error, 'NotFound')) return undefined;
    throw error;
  });
}
