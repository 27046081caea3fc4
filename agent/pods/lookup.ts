import { configMaps, nodes, persistentVolumeClaims, persistentVolumes, runtimeClasses, secrets, services } from '#api/kinds/resources.ts';
import type { PodCsi } from '#agent/csi/types.ts';
import type { PodTokens } from '#agent/session/types.ts';
import type { DesiredState } from '#agent/state/types.ts';
import type { ObjectLookup } from './spec/env.ts';
import type { SecretVolumes } from './volumes/secret-volumes.ts';

/** What pods of this host refer to, from what the host keeps. */
export function objectLookup(state: DesiredState, csi: PodCsi | undefined, tokens: PodTokens | undefined, secretVolumes: SecretVolumes | undefined): ObjectLookup {
  return {
    configMap: (namespace, name) => state.get(configMaps, namespace, name),
    secret: (namespace, name) => state.get(secrets, namespace, name),
    services: () => state.list(services),
    runtimeClass: (name) => state.get(runtimeClasses, undefined, name),
    claim: (namespace, name) => state.get(persistentVolumeClaims, namespace, name),
    nodeLabels: (name) => state.get(nodes, undefined, name)?.metadata?.labels,
    volume: (name) => state.get(persistentVolumes, undefined, name),
    ...(csi && { csi }),
    ...(tokens && { token: (request) => tokens.token(request) }),
    ...(secretVolumes && { secretVolumes }),
  };
}
