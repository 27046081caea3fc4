import type * as k from '../gen/types.ts';
import type { KubeObject } from '../meta/object.ts';

/**
 * A typed name for a resource: what a client, an informer or the agent needs to speak of a kind, without
 * its schema. `T` is the object's type.
 */
export interface Resource<T extends KubeObject = KubeObject> {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Never set; carries `T`. */
  readonly type?: T;
}

function resource<T extends KubeObject>(group: string, plural: string, kind: string, namespaced = true): Resource<T> {
  return { group, version: 'v1', plural, kind, namespaced };
}

export const namespaces = resource<k.Namespace>('', 'namespaces', 'Namespace', false);
export const nodes = resource<k.Node>('', 'nodes', 'Node', false);
export const pods = resource<k.Pod>('', 'pods', 'Pod');
export const configMaps = resource<k.ConfigMap>('', 'configmaps', 'ConfigMap');
export const secrets = resource<k.Secret>('', 'secrets', 'Secret');
export const services = resource<k.Service>('', 'services', 'Service');
export const endpoints = resource<k.Endpoints>('', 'endpoints', 'Endpoints');
export const events = resource<k.Event>('', 'events', 'Event');
export const serviceAccounts = resource<k.ServiceAccount>('', 'serviceaccounts', 'ServiceAccount');
export const endpointSlices = resource<k.EndpointSlice>('discovery.k8s.io', 'endpointslices', 'EndpointSlice');
export const leases = resource<k.Lease>('coordination.k8s.io', 'leases', 'Lease');
export const deployments = resource<k.Deployment>('apps', 'deployments', 'Deployment');
export const replicaSets = resource<k.ReplicaSet>('apps', 'replicasets', 'ReplicaSet');

/** `v1`, `apps/v1`. */
export function apiVersionOf(r: Pick<Resource, 'group' | 'version'>): string {
  return r.group === '' ? r.version : `${r.group}/${r.version}`;
}

/** `pods`, `deployments.apps`: unique among resources, as Kubernetes writes them in messages. */
export function qualifiedName(r: Pick<Resource, 'group' | 'plural'>): string {
  return r.group === '' ? r.plural : `${r.plural}.${r.group}`;
}
