import type { CSIDriver, Node, PersistentVolume, Pod, VolumeAttachment } from '#api/gen/types.ts';
import { pods, volumeAttachments } from '#api/kinds/resources.ts';
import { attachmentName, needsAttachment, volumeInUse } from '#api/volumes/csi.ts';
import { eventAction } from '../execute.ts';
import type { Action, Decision } from '../types.ts';

/** How long a host that is lost may still have a volume mounted before it is taken away from it all the same. */
export const lostNodeMs = 360_000;
const outOfService = 'node.kubernetes.io/out-of-service';

export interface VolumeSnapshot {
  /** Undefined when it is gone. */
  readonly volume: PersistentVolume | undefined;
  /** Undefined where its driver has no such object. */
  readonly driver: CSIDriver | undefined;
  /** Those that mount it and that have a node, ended ones aside. */
  readonly pods: readonly Pod[];
  /** Those of this volume. */
  readonly attachments: readonly VolumeAttachment[];
  readonly node: (name: string) => Node | undefined;
  readonly nowMs: number;
}

/** A volume is attached where a pod needs it, and detached where none does and where it is no longer mounted. */
export function reconcileVolume(snapshot: VolumeSnapshot): Decision {
  const { volume, driver, attachments } = snapshot;
  const csi = volume?.spec?.csi;
  const wanted = new Map(csi && needsAttachment(driver) ? snapshot.pods.map((pod) => [pod.spec?.nodeName ?? '', pod] as const) : []);
  const actions: Action[] = [];
  let afterMs: number | undefined;
  for (const attachment of attachments) {
    if (wanted.has(attachment.spec.nodeName) || attachment.metadata?.deletionTimestamp !== undefined || !isOurs(attachment)) continue;
    const waitMs = untilFree(snapshot, attachment);
    if (waitMs === 0) actions.push({ type: 'delete', resource: volumeAttachments, object: attachment });
    else if (waitMs !== undefined) afterMs = Math.min(afterMs ?? waitMs, waitMs);
  }
  if (volume && csi) for (const [nodeName, pod] of wanted) actions.push(...attach(volume, csi, nodeName, pod, attachments, wanted));
  return { actions, afterMs };
}

function attach(volume: PersistentVolume, { driver, volumeHandle }: NonNullable<NonNullable<PersistentVolume['spec']>['csi']>, nodeName: string, pod: Pod, attachments: readonly VolumeAttachment[], wanted: ReadonlyMap<string, Pod>): Action[] {
  const name = attachmentName(driver, volumeHandle, nodeName);
  // One that is going away comes again when it has gone.
  if (attachments.some(({ metadata }) => metadata?.name === name)) return [];
  const pv = volume.metadata?.name ?? '';
  const elsewhere = attachments.find(({ spec }) => spec.nodeName !== nodeName);
  const [first] = wanted.keys();
  if (isExclusive(volume) && (elsewhere ?? (first !== nodeName))) {
    const message = `Multi-Attach error for volume ${JSON.stringify(pv)} Volume is already exclusively attached to one node and can't be attached to another`;
    return [eventAction(pods, pod, 'Warning', 'FailedAttachVolume', message)];
  }
  const object: VolumeAttachment = { apiVersion: 'storage.k8s.io/v1', kind: 'VolumeAttachment', metadata: { name }, spec: { attacher: driver, nodeName, source: { persistentVolumeName: pv } } };
  return [{ type: 'create', resource: volumeAttachments, object }];
}

/** What somebody else made, under a name of theirs, is theirs to take away. */
function isOurs({ metadata }: VolumeAttachment): boolean {
  return /^csi-[0-9a-f]{64}$/.test(metadata?.name ?? '');
}

/** Only one node at a time may have it. */
function isExclusive({ spec }: PersistentVolume): boolean {
  const modes = spec?.accessModes ?? [];
  return modes.length > 0 && !modes.some((mode) => mode === 'ReadWriteMany' || mode === 'ReadOnlyMany');
}

/** Milliseconds until the node may lose it: 0 for now, undefined for when the node says that it has unmounted it. */
function untilFree({ volume, node, nowMs }: VolumeSnapshot, { spec }: VolumeAttachment): number | undefined {
  const found = node(spec.nodeName);
  if (!found || found.spec?.taints?.some(({ key }) => key === outOfService)) return 0;
  const csi = volume?.spec?.csi;
  // Of a volume that is gone only its driver's name is known: any of that driver may be it.
  const isIt = (used: string): boolean => (csi ? used === volumeInUse(csi.driver, csi.volumeHandle) : used.startsWith(volumeInUse(spec.attacher, '')));
  if (!found.status?.volumesInUse?.some(isIt)) return 0;
  const ready = found.status.conditions?.find(({ type }) => type === 'Ready');
  if (!ready || ready.status === 'True') return undefined;
  return Math.max(0, Date.parse(ready.lastTransitionTime ?? '') + lostNodeMs - nowMs) || 0;
}
