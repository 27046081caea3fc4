import type { ConfigMap, Namespace } from '#api/gen/types.ts';
import { configMaps } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import type { Action } from '../types.ts';

export const configMapName = 'kube-root-ca.crt';

/** Every namespace that stays has the CA that verifies the API, for clients in pods. */
export function reconcileRootCa(namespace: Namespace, current: ConfigMap | undefined, rootCa: string): Action[] {
  if (rootCa === '' || namespace.metadata?.deletionTimestamp !== undefined) return [];
  const data = { 'ca.crt': rootCa };
  if (current !== undefined) return equal(current.data, data) ? [] : [{ type: 'update', resource: configMaps, object: { ...current, data } as ConfigMap }];
  const annotations = { 'kubernetes.io/description': 'Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc.' };
  const object: ConfigMap = { apiVersion: 'v1', kind: configMaps.kind, metadata: { name: configMapName, namespace: namespace.metadata?.name, annotations }, data };
  return [{ type: 'create', resource: configMaps, object }];
}
