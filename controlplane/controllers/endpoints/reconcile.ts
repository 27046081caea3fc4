import type { EndpointAddress, EndpointPort, Endpoints, EndpointSubset, Pod, Service } from '#api/gen/types.ts';
import { apiVersionOf, endpoints as endpointsResource } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { withMetadata } from '../owner-refs.ts';
import { endpointsOf, hasManagedEndpoints, inheritedLabels, ipFamilies, type EndpointPortNumber } from '../service-endpoints.ts';
import type { Action } from '../types.ts';

export const managedByLabel = 'endpoints.kubernetes.io/managed-by';
const overCapacityAnnotation = 'endpoints.kubernetes.io/over-capacity';
/** As in Kubernetes; EndpointSlices have no such limit. */
const maxAddresses = 1000;

export interface EndpointsSnapshot {
  readonly service: Service;
  /** Of the Service's namespace. */
  readonly pods: readonly Pod[];
  readonly endpoints: Endpoints | undefined;
}

interface Address { readonly address: EndpointAddress; readonly ready: boolean; readonly ports: EndpointPortNumber[] }

/** The write that makes the Service's Endpoints object true, if one is needed. */
export function reconcileEndpoints({ service, pods, endpoints }: EndpointsSnapshot): Action[] {
  if (!hasManagedEndpoints(service)) return [];
  const { addresses, truncated } = limit(addressesOf(service, pods));
  const subsets = group(addresses);
  const labels = { ...inheritedLabels(service), [managedByLabel]: 'endpoint-controller' };
  const annotations = truncated ? { [overCapacityAnnotation]: 'truncated' } : undefined;
  if (endpoints === undefined) {
    const { name, namespace } = service.metadata ?? {};
    const object: Endpoints = {
      apiVersion: apiVersionOf(endpointsResource), kind: endpointsResource.kind,
      metadata: { name, namespace, labels, ...(annotations && { annotations }) }, ...(subsets.length > 0 && { subsets }),
    };
    return [{ type: 'create', resource: endpointsResource, object }];
  }
  const { [overCapacityAnnotation]: overCapacity, ...others } = endpoints.metadata?.annotations ?? {};
  const same = equal(endpoints.subsets ?? [], subsets) && equal(endpoints.metadata?.labels ?? {}, labels) && (overCapacity !== undefined) === truncated;
  if (same) return [];
  const object: Endpoints = { ...withMetadata(endpoints, { labels, annotations: { ...others, ...annotations } }), subsets };
  return [{ type: 'update', resource: endpointsResource, object }];
}

function addressesOf(service: Service, pods: readonly Pod[]): Address[] {
  const publish = service.spec?.publishNotReadyAddresses === true;
  return endpointsOf(service, pods, ipFamilies(service)[0] ?? 'IPv4')
    .filter(({ terminating }) => publish || !terminating)
    .map(({ addresses, ports, serving, hostname, nodeName, targetRef }) => ({
      address: { ip: addresses[0] ?? '', ...(hostname !== undefined && { hostname }), ...(nodeName !== undefined && { nodeName }), targetRef },
      ready: publish || serving,
      ports: [...ports],
    }))
    // A port that a pod lacks leaves the pod out, unless the Service has no ports at all.
    .filter(({ ports }) => ports.length > 0 || (service.spec?.ports ?? []).length === 0);
}

function limit(addresses: readonly Address[]): { addresses: readonly Address[]; truncated: boolean } {
  if (addresses.length <= maxAddresses) return { addresses, truncated: false };
  const ready = addresses.filter((a) => a.ready);
  return { addresses: [...ready, ...addresses.filter((a) => !a.ready)].slice(0, maxAddresses), truncated: true };
}

/** Addresses with the same ports form one subset; everything in a fixed order, so that equal states are equal texts. */
function group(addresses: readonly Address[]): EndpointSubset[] {
  const byPorts = new Map<string, { ports: EndpointPort[]; members: Address[] }>();
  for (const address of addresses) {
    const ports = address.ports.map(toPort).sort(comparePorts);
    const key = JSON.stringify(ports);
    const subset = byPorts.get(key) ?? { ports, members: [] };
    byPorts.set(key, subset);
    subset.members.push(address);
  }
  return [...byPorts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, { ports, members }]) => {
    const list = (ready: boolean): EndpointAddress[] => members.filter((m) => m.ready === ready).map((m) => m.address).sort(compareAddresses);
    const [up, down] = [list(true), list(false)];
    return { ...(up.length > 0 && { addresses: up }), ...(down.length > 0 && { notReadyAddresses: down }), ...(ports.length > 0 && { ports }) };
  });
}

function toPort({ name, port, protocol, appProtocol }: EndpointPortNumber): EndpointPort {
  return { ...(name !== '' && { name }), port, protocol, ...(appProtocol !== undefined && { appProtocol }) };
}

function comparePorts(a: EndpointPort, b: EndpointPort): number {
  const text = (p: EndpointPort): string => `${p.name ?? ''}/${String(p.port)}/${p.protocol ?? ''}`;
  return text(a) < text(b) ? -1 : 1;
}

function compareAddresses(a: EndpointAddress, b: EndpointAddress): number {
  const text = (address: EndpointAddress): string => `${address.ip}/${address.targetRef?.uid ?? ''}`;
  return text(a) < text(b) ? -1 : 1;
}
