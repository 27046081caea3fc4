import type { Container, EphemeralContainer, Pod, Volume } from '#api/gen/types.ts';
import { configMaps, qualifiedName, secrets } from '#api/kinds/resources.ts';
import { objectKey } from '#api/meta/object.ts';

/** A Secret or ConfigMap as `secrets namespace/name`. */
export type ReferenceKey = string;

export function referenceKey(resource: typeof secrets | typeof configMaps, namespace: string | undefined, name: string): ReferenceKey {
  return `${qualifiedName(resource)} ${objectKey(namespace, name)}`;
}

/** All Secrets and ConfigMaps that a pod needs in order to run, each once. */
export function referencesOf(pod: Pod): ReferenceKey[] {
  const namespace = pod.metadata?.namespace;
  const found = new Set<ReferenceKey>();
  const secret = (name: string | undefined): void => { if (name) found.add(referenceKey(secrets, namespace, name)); };
  const configMap = (name: string | undefined): void => { if (name) found.add(referenceKey(configMaps, namespace, name)); };
  const { spec } = pod;
  for (const reference of spec?.imagePullSecrets ?? []) secret(reference.name);
  for (const container of [...spec?.initContainers ?? [], ...spec?.containers ?? [], ...spec?.ephemeralContainers ?? []]) ofContainer(container, secret, configMap);
  for (const volume of spec?.volumes ?? []) ofVolume(volume, secret, configMap);
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
