import type { Pod } from '#api/gen/types.ts';
import { allContainersOf } from './spec/containers.ts';

/** The names of the ConfigMaps or Secrets that a pod refers to. */
export function referencesOf(pod: Pod, kind: 'ConfigMap' | 'Secret'): Set<string> {
  const names = new Set<string | undefined>();
  const map = kind === 'ConfigMap';
  for (const volume of pod.spec?.volumes ?? []) {
    names.add(map ? volume.configMap?.name : volume.secret?.secretName);
    for (const source of volume.projected?.sources ?? []) names.add(map ? source.configMap?.name : source.secret?.name);
  }
  for (const container of allContainersOf(pod)) {
    for (const source of container.envFrom ?? []) names.add(map ? source.configMapRef?.name : source.secretRef?.name);
    for (const { valueFrom } of container.env ?? []) names.add(map ? valueFrom?.configMapKeyRef?.name : valueFrom?.secretKeyRef?.name);
  }
  if (!map) for (const { name } of pod.spec?.imagePullSecrets ?? []) names.add(name);
  names.delete(undefined);
  return names as Set<string>;
}
