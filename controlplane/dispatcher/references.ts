import type { Container, EphemeralContainer, PersistentVolumeClaim, Pod, Volume } from '#api/gen/types.ts';
import { configMaps, persistentVolumeClaims, persistentVolumes, qualifiedName, secrets } from '#api/kinds/resources.ts';
import { objectKey } from '#api/meta/object.ts';
import { claimNamesOf } from '#api/volumes/binding.ts';
import type { Lister } from '../cache/types.ts';

/** What can be referred to. */
export type Referable = typeof secrets | typeof configMaps | typeof persistentVolumeClaims | typeof persistentVolumes;

/** A Secret, ConfigMap, claim or volume as `secrets namespace/name`. */
export type ReferenceKey = string;

export function referenceKey(resource: Referable, namespace: string | undefined, name: string): ReferenceKey {
  return `${qualifiedName(resource)} ${objectKey(namespace, name)}`;
}

/** All Secrets, ConfigMaps, claims and volumes that a pod needs in order to run, each once. */
export function referencesOf(pod: Pod, claims?: Pick<Lister<PersistentVolumeClaim>, 'get'>): ReferenceKey[] {
  const namespace = pod.metadata?.namespace;
  const found = new Set<ReferenceKey>();
  const secret = (name: string | undefined): void => { if (name) found.add(referenceKey(secrets, namespace, name)); };
  const configMap = (name: string | undefined): void => { if (name) found.add(referenceKey(configMaps, namespace, name)); };
  const { spec } = pod;
  for (const reference of spec?.imagePullSecrets ?? []) secret(reference.name);
  for (const container of [...spec?.initContainers ?? [], ...spec?.containers ?? [], ...spec?.ephemeralContainers ?? []]) ofContainer(container, secret, configMap);
  for (const volume of spec?.volumes ?? []) ofVolume(volume, secret, configMap);
  for (const name of claimNamesOf(pod)) {
    found.add(referenceKey(persistentVolumeClaims, namespace, name));
    const volume = claims?.get(namespace, name)?.spec?.volumeName;
    if (volume) found.add(referenceKey(persistentVolumes, undefined, volume));
  }
  return [...found];
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
