import type { Container, EphemeralContainer, PersistentVolume, PersistentVolumeClaim, Pod, Volume } from '#api/gen/types.ts';
import { configMaps, csiDrivers, persistentVolumeClaims, persistentVolumes, qualifiedName, secrets, volumeAttachments } from '#api/kinds/resources.ts';
import { objectKey } from '#api/meta/object.ts';
import { claimNamesOf } from '#api/volumes/binding.ts';
import { attachmentName } from '#api/volumes/csi.ts';
import type { Lister } from '../cache/types.ts';

/** What can be referred to. */
export type Referable = typeof secrets | typeof configMaps | typeof persistentVolumeClaims | typeof persistentVolumes | typeof csiDrivers | typeof volumeAttachments;

/** A Secret, ConfigMap, claim, volume, or what there is to know of a CSI driver's as `secrets namespace/name`. */
export type ReferenceKey = string;

export function referenceKey(resource: Referable, namespace: string | undefined, name: string): ReferenceKey {
  return `${qualifiedName(resource)} ${objectKey(namespace, name)}`;
}

/** By which a pod's claims lead to volumes, and those to what their drivers need. */
export interface StorageListers {
  readonly claims?: Pick<Lister<PersistentVolumeClaim>, 'get'> | undefined;
  readonly volumes?: Pick<Lister<PersistentVolume>, 'get'> | undefined;
}

/** All that a pod needs in order to run, each once: Secrets, ConfigMaps, claims, volumes, and what CSI drivers need for these. */
export function referencesOf(pod: Pod, { claims, volumes }: StorageListers = {}): ReferenceKey[] {
  const namespace = pod.metadata?.namespace;
  const found = new Set<ReferenceKey>();
  const secret = (name: string | undefined): void => { if (name) found.add(referenceKey(secrets, namespace, name)); };
  const configMap = (name: string | undefined): void => { if (name) found.add(referenceKey(configMaps, namespace, name)); };
  const { spec } = pod;
  for (const reference of spec?.imagePullSecrets ?? []) secret(reference.name);
  for (const container of [...spec?.initContainers ?? [], ...spec?.containers ?? [], ...spec?.ephemeralContainers ?? []]) ofContainer(container, secret, configMap);
  for (const volume of spec?.volumes ?? []) {
    ofVolume(volume, secret, configMap);
    if (volume.csi) found.add(referenceKey(csiDrivers, undefined, volume.csi.driver));
  }
  for (const name of claimNamesOf(pod)) {
    found.add(referenceKey(persistentVolumeClaims, namespace, name));
    const volume = claims?.get(namespace, name)?.spec?.volumeName;
    if (!volume) continue;
    found.add(referenceKey(persistentVolumes, undefined, volume));
    for (const key of ofDriver(volumes?.get(undefined, volume), spec?.nodeName ?? '')) found.add(key);
  }
  return [...found];
}

/** The CSI drivers of a pod's volumes. */
export function driversOf(pod: Pod, { claims, volumes }: StorageListers): string[] {
  const claimed = claimNamesOf(pod).map((name) => volumes?.get(undefined, claims?.get(pod.metadata?.namespace, name)?.spec?.volumeName ?? '')?.spec?.csi?.driver);
  return [...claimed, ...(pod.spec?.volumes ?? []).map(({ csi }) => csi?.driver)].filter((name) => name !== undefined);
}

/** Whether it has to be attached, whether it is, and what the node's side of the driver is told in secret. */
function* ofDriver(volume: PersistentVolume | undefined, nodeName: string): Generator<ReferenceKey> {
  const { csi } = volume?.spec ?? {};
  if (!csi) return;
  yield referenceKey(csiDrivers, undefined, csi.driver);
  yield referenceKey(volumeAttachments, undefined, attachmentName(csi.driver, csi.volumeHandle, nodeName));
  for (const reference of [csi.nodeStageSecretRef, csi.nodePublishSecretRef, csi.nodeExpandSecretRef]) if (reference?.name) yield referenceKey(secrets, reference.namespace, reference.name);
}

type Add = (name: string | undefined) => void;

function ofContainer(container: Container | EphemeralContainer, secret: Add, configMap: Add): void {
  for (const { valueFrom } of container.env ?? []) {
    secret(valueFrom?.secretKeyRef?.name);
    configMap(valueFrom?.configMapKeyRef?.name);
  }
  for (const source of container.envFrom ?? []) {
    secret(source.secretRef?.name);
    configMap(source.configMapRef?.name);
  }
}

function ofVolume(volume: Volume, secret: Add, configMap: Add): void {
  secret(volume.secret?.secretName);
  configMap(volume.configMap?.name);
  for (const source of volume.projected?.sources ?? []) {
    secret(source.secret?.name);
    configMap(source.configMap?.name);
  }
  secret(volume.csi?.nodePublishSecretRef?.name);
}
