import type { IPAddress, Service } from '#api/gen/types.ts';
import { ipAddresses } from '#api/kinds/resources.ts';
import type { Action } from '../types.ts';

const managedBy = { 'ipaddress.kubernetes.io/managed-by': 'ipallocator.k8s.io' };

/** Cluster addresses that a Service has. */
export function addressesOf({ spec }: Service): string[] {
  if (spec?.type === 'ExternalName') return [];
  return (spec?.clusterIPs ?? (spec?.clusterIP ? [spec.clusterIP] : [])).filter((address) => address !== '' && address !== 'None');
}

/** Every address of a Service has an object that says whose it is. Objects that somebody else has made stay. */
export function reconcileAddress(address: string, service: Service | undefined, existing: IPAddress | undefined): Action[] {
  const { name = '', namespace = '', deletionTimestamp } = service?.metadata ?? {};
  const wanted = service !== undefined && deletionTimestamp === undefined;
  if (existing === undefined) {
    if (!wanted) return [];
    const labels = { 'ipaddress.kubernetes.io/ip-family': address.includes(':') ? 'IPv6' : 'IPv4', ...managedBy };
    return [{ type: 'create', resource: ipAddresses, object: { metadata: { name: address, labels }, spec: { parentRef: { group: '', resource: 'services', namespace, name } } } as IPAddress }];
  }
  const parent = existing.spec?.parentRef;
  const right = wanted && parent?.resource === 'services' && parent.namespace === namespace && parent.name === name;
  const isOurs = existing.metadata?.labels?.['ipaddress.kubernetes.io/managed-by'] === managedBy['ipaddress.kubernetes.io/managed-by'];
  // One that names another Service goes first; its going brings us back.
  return right || !isOurs || existing.metadata?.deletionTimestamp !== undefined ? [] : [{ type: 'delete', resource: ipAddresses, object: existing }];
}
