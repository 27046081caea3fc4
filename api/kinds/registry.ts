import type { KubeObject } from '../meta/object.ts';
import { configMap } from './config-map/kind.ts';
import { deployment } from './deployment/kind.ts';
import { endpointSlice } from './endpoint-slice/kind.ts';
import { endpoints } from './endpoints/kind.ts';
import { event } from './event/kind.ts';
import { lease } from './lease/kind.ts';
import { namespace } from './namespace/kind.ts';
import { node } from './node/kind.ts';
import { pod } from './pod/kind.ts';
import { replicaSet } from './replica-set/kind.ts';
import { secret } from './secret/kind.ts';
import { serviceAccount } from './service-account/kind.ts';
import { service } from './service/kind.ts';
import type { KindDefinition } from './types.ts';

/** Forgets a kind's object type, so that kinds of all types fit one map. Sound because objects reach a kind through `decode`. */
function any<T extends KubeObject>(kind: KindDefinition<T>): KindDefinition {
  return kind as unknown as KindDefinition;
}

/** Every built-in kind by qualified name (`pods`, `deployments.apps`). */
export const kinds: Readonly<Record<string, KindDefinition>> = {
  configmaps: any(configMap),
  endpoints: any(endpoints),
  events: any(event),
  namespaces: any(namespace),
  nodes: any(node),
  pods: any(pod),
  secrets: any(secret),
  serviceaccounts: any(serviceAccount),
  services: any(service),
  'deployments.apps': any(deployment),
  'replicasets.apps': any(replicaSet),
  'leases.coordination.k8s.io': any(lease),
  'endpointslices.discovery.k8s.io': any(endpointSlice),
};
