import { hash } from 'node:crypto';
import type { CSIDriver } from '../gen/types.ts';

/** Name of the VolumeAttachment by which control plane, attacher and node agree; Kubernetes' own. */
export function attachmentName(driver: string, volumeHandle: string, nodeName: string): string {
  return `csi-${hash('sha256', `${volumeHandle}${driver}${nodeName}`, 'hex')}`;
}

/** How a node's status names a volume that is in use. */
export function volumeInUse(driver: string, volumeHandle: string): string {
  return `kubernetes.io/csi/${driver}^${volumeHandle}`;
}

/** Of a driver that says nothing, volumes are attached first. */
export function needsAttachment(driver: CSIDriver | undefined): boolean {
  return driver?.spec.attachRequired !== false;
}
