import { hash } from 'node:crypto';
import type { CSIDriver, PersistentVolume, Secret } from '#api/gen/types.ts';
import { StatusError } from '#common/errors.ts';
import { rfc3339 } from '#common/time.ts';
import type { VolumeCapability } from './contract.ts';
import type { Driver, PodVolume } from './types.ts';

/** What drivers are told of a volume, as the kubelet tells it. Pure. */
export interface CsiVolume {
  readonly driver: string;
  readonly handle: string;
  /** Names the volume in the pod's folder. */
  readonly specName: string;
  readonly mode: 'Persistent' | 'Ephemeral';
  /** The pod is given a device, not a directory. */
  readonly isBlock: boolean;
  readonly fsType: string;
  readonly readOnly: boolean;
  readonly attributes: Readonly<Record<string, string>>;
  readonly accessModes: readonly string[];
  readonly mountFlags: readonly string[];
  readonly stageSecret: SecretName | undefined;
  readonly publishSecret: SecretName | undefined;
  readonly expandSecret: SecretName | undefined;
}

export interface SecretName { readonly namespace: string; readonly name: string }

export function csiVolume({ pod, volume, claimed }: PodVolume): CsiVolume {
  if (claimed) return persistent(claimed, volume.persistentVolumeClaim?.readOnly === true);
  const { uid = '', namespace = '' } = pod.metadata ?? {};
  const { driver = '', fsType = '', readOnly = false, volumeAttributes = {}, nodePublishSecretRef } = volume.csi ?? {};
  return {
    driver, handle: `csi-${hash('sha256', `${uid}${volume.name}`, 'hex')}`, specName: volume.name, mode: 'Ephemeral', isBlock: false, fsType, readOnly, attributes: volumeAttributes, accessModes: [], mountFlags: [],
    stageSecret: undefined, publishSecret: nodePublishSecretRef?.name ? { namespace, name: nodePublishSecretRef.name } : undefined, expandSecret: undefined,
  };
}

function persistent({ metadata, spec }: PersistentVolume, readOnly: boolean): CsiVolume {
  const { csi } = spec ?? {};
  if (!csi) throw new StatusError('Invalid', `persistentvolume "${metadata?.name ?? ''}" is not one of a CSI driver`);
  const secret = (reference: typeof csi.nodeStageSecretRef): SecretName | undefined => (reference?.name ? { namespace: reference.namespace ?? '', name: reference.name } : undefined);
  return {
    driver: csi.driver, handle: csi.volumeHandle, specName: metadata?.name ?? '', mode: 'Persistent', isBlock: spec?.volumeMode === 'Block', fsType: csi.fsType ?? '', readOnly: readOnly || csi.readOnly === true,
    attributes: csi.volumeAttributes ?? {}, accessModes: spec?.accessModes ?? [], mountFlags: spec?.mountOptions ?? [],
    stageSecret: secret(csi.nodeStageSecretRef), publishSecret: secret(csi.nodePublishSecretRef), expandSecret: secret(csi.nodeExpandSecretRef),
  };
}

export function capabilityOf(volume: CsiVolume, driver: Driver, fsGroup: number | undefined): VolumeCapability {
  const mode = { mode: accessMode(volume.accessModes[0] ?? 'ReadWriteOnce', driver) };
  if (volume.isBlock) return { block: {}, accessMode: mode };
  const group = fsGroup !== undefined && driver.capabilities.has('VOLUME_MOUNT_GROUP') ? String(fsGroup) : '';
  return { mount: { fsType: volume.fsType, mountFlags: volume.mountFlags, volumeMountGroup: group }, accessMode: mode };
}

function accessMode(mode: string, { capabilities }: Driver): string {
  if (mode === 'ReadOnlyMany') return 'MULTI_NODE_READER_ONLY';
  if (mode === 'ReadWriteMany') return 'MULTI_NODE_MULTI_WRITER';
  if (!capabilities.has('SINGLE_NODE_MULTI_WRITER')) return 'SINGLE_NODE_WRITER';
  return mode === 'ReadWriteOncePod' ? 'SINGLE_NODE_SINGLE_WRITER' : 'SINGLE_NODE_MULTI_WRITER';
}

/** What is said of the pod to drivers that ask for it. */
export function publishContext(volume: CsiVolume, { pod }: PodVolume, driver: CSIDriver | undefined): Record<string, string> {
  if (driver?.spec.podInfoOnMount !== true) return { ...volume.attributes };
  const { name = '', namespace = '', uid = '' } = pod.metadata ?? {};
  const prefix = 'csi.storage.k8s.io';
  return {
    ...volume.attributes, [`${prefix}/pod.name`]: name, [`${prefix}/pod.namespace`]: namespace, [`${prefix}/pod.uid`]: uid,
    [`${prefix}/serviceAccount.name`]: pod.spec?.serviceAccountName ?? '', [`${prefix}/ephemeral`]: String(volume.mode === 'Ephemeral'),
  };
}

/** As in a TokenRequest. */
const defaultTokenSeconds = 3600;

/** Tokens of the pod's account for the audiences that the driver asks for, as part of what it is told of the volume. */
export async function tokenContext({ pod, token }: PodVolume, driver: CSIDriver | undefined): Promise<Record<string, string>> {
  const requests = driver?.spec.tokenRequests ?? [];
  if (requests.length === 0) return {};
  if (!token) throw new StatusError('ServiceUnavailable', 'the control plane is not connected');
  const { namespace = '', name: podName = '', uid: podUid = '' } = pod.metadata ?? {};
  const tokens: Record<string, { token: string; expirationTimestamp: string }> = {};
  for (const { audience, expirationSeconds = defaultTokenSeconds } of requests) {
    const made = await token({ namespace, podName, podUid, audience, expirationSeconds });
    tokens[audience] = { token: made, expirationTimestamp: rfc3339(expiryMs(made)) };
  }
  return { 'csi.storage.k8s.io/serviceAccount.tokens': JSON.stringify(tokens) };
}

function expiryMs(token: string): number {
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as { exp?: unknown };
  return typeof exp === 'number' ? exp * 1000 : 0;
}

/** The group that the volume's files are to be given to by us; undefined when that is the driver's, or nobody's. */
export function ownerGroup(volume: CsiVolume, driver: Driver, object: CSIDriver | undefined, fsGroup: number | undefined): number | undefined {
  if (fsGroup === undefined || volume.readOnly || volume.isBlock || driver.capabilities.has('VOLUME_MOUNT_GROUP')) return undefined;
  switch (object?.spec.fsGroupPolicy ?? 'ReadWriteOnceWithFSType') {
    case 'None': return undefined;
    case 'File': return fsGroup;
    // One that lives with its pod is that pod's alone.
    default: return volume.fsType !== '' && (volume.mode === 'Ephemeral' || volume.accessModes.some((mode) => mode === 'ReadWriteOnce' || mode === 'ReadWriteOncePod')) ? fsGroup : undefined;
  }
}

/** Volumes that live with their pods are made only by drivers that say so. */
export function checkMode({ mode, driver }: CsiVolume, object: CSIDriver | undefined): void {
  if (mode === 'Persistent') return;
  if (!object) throw new StatusError('NotFound', `csi.NewMounter failed to look up CSIDriver: csidriver.storage.k8s.io "${driver}" not found`);
  const modes = object.spec.volumeLifecycleModes ?? ['Persistent'];
  if (!modes.includes('Ephemeral')) throw new StatusError('Invalid', `volume mode "Ephemeral" not supported by driver ${driver} (only supports ${JSON.stringify(modes)})`);
}

export function secretData(name: SecretName | undefined, lookup: (name: SecretName) => Secret | undefined): Record<string, string> {
  if (!name) return {};
  const found = lookup(name);
  if (!found) throw new StatusError('NotFound', `secret "${name.name}" not found in namespace "${name.namespace}"`);
  return Object.fromEntries(Object.entries(found.data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64').toString('utf8')]));
}
