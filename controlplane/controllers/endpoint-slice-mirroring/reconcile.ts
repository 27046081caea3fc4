import type { Endpoint, EndpointAddress, EndpointPort, Endpoints, EndpointSlice, EndpointSubset, Service } from '#api/gen/types.ts';
import { apiVersionOf, endpoints as endpointsResource, endpointSlices } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { serviceNameLabel } from '../indexes.ts';
import { controllerReference } from '../owner-refs.ts';
import type { Action } from '../types.ts';

export const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
export const managedByUs = 'endpointslicemirroring-controller.k8s.io';
const skipLabel = 'endpointslice.kubernetes.io/skip-mirror';
const leaderAnnotation = 'control-plane.alpha.kubernetes.io/leader';
/** Of no use to readers of slices. */
const keptBack = ['endpoints.kubernetes.io/last-change-trigger-time', 'kubectl.kubernetes.io/last-applied-configuration'];
/** As in Kubernetes: what is written by hand is short, and more is left out. */
const maxEndpoints = 1000;

export interface MirrorSnapshot {
  readonly endpoints: Endpoints | undefined;
  readonly service: Service | undefined;
  /** Of the Service, ours only. */
  readonly slices: readonly EndpointSlice[];
}

interface Group { readonly addressType: string; readonly ports: readonly EndpointPort[]; readonly endpoints: Endpoint[] }

/** The writes that make slices say what Endpoints say that a user, or a program of his, has written. */
export function reconcileMirror({ endpoints, service, slices }: MirrorSnapshot): Action[] {
  const wanted = endpoints && isMirrored(endpoints, service) ? groupsOf(endpoints.subsets ?? []) : [];
  const left = slices.filter(({ metadata }) => metadata?.deletionTimestamp === undefined);
  const writes = wanted.flatMap((group): Action[] => {
    const at = left.findIndex((slice) => slice.addressType === group.addressType && equal(slice.ports ?? [], [...group.ports]));
    const [old] = at < 0 ? [] : left.splice(at, 1);
    const slice = sliceOf(endpoints ?? {}, group);
    if (old === undefined) return [{ type: 'create', resource: endpointSlices, object: slice }];
    const { labels, annotations, ownerReferences } = slice.metadata ?? {};
    const object: EndpointSlice = { ...old, metadata: { ...old.metadata, labels, annotations, ownerReferences }, endpoints: slice.endpoints };
    return equal(object, old) ? [] : [{ type: 'update', resource: endpointSlices, object }];
  });
  return [...writes, ...left.map((object): Action => ({ type: 'delete', resource: endpointSlices, object }))];
}

function isMirrored({ metadata }: Endpoints, service: Service | undefined): boolean {
  if (metadata?.deletionTimestamp !== undefined || metadata?.labels?.[skipLabel] === 'true' || metadata?.annotations?.[leaderAnnotation] !== undefined) return false;
  return service !== undefined && service.metadata?.deletionTimestamp === undefined && Object.keys(service.spec?.selector ?? {}).length === 0;
}

/** Addresses of one family with the same ports share a slice. */
function groupsOf(subsets: readonly EndpointSubset[]): Group[] {
  const groups: Group[] = [];
  for (const { addresses = [], notReadyAddresses = [], ports = [] } of subsets) {
    const all = [...addresses.map((address) => toEndpoint(address, true)), ...notReadyAddresses.map((address) => toEndpoint(address, false))];
    const slicePorts = ports.map(({ name = '', port, protocol = 'TCP', appProtocol }) => ({ name, port, protocol, ...(appProtocol !== undefined && { appProtocol }) }));
    for (const addressType of ['IPv4', 'IPv6']) {
      const own = all.filter((endpoint) => endpoint.addresses[0]?.includes(':') === (addressType === 'IPv6'));
      if (own.length === 0) continue;
      let group = groups.find((one) => one.addressType === addressType && equal(one.ports, slicePorts));
      if (group === undefined) groups.push(group = { addressType, ports: slicePorts, endpoints: [] });
      group.endpoints.push(...own.slice(0, maxEndpoints - group.endpoints.length));
    }
  }
  return groups;
}

function toEndpoint({ ip, hostname, nodeName, targetRef }: EndpointAddress, ready: boolean): Endpoint {
  return { addresses: [ip], conditions: { ready }, ...(hostname && { hostname }), ...(nodeName !== undefined && { nodeName }), ...(targetRef && { targetRef }) };
}

function sliceOf(endpoints: Endpoints, { addressType, ports, endpoints: list }: Group): EndpointSlice {
  const { name = '', namespace, labels, annotations } = endpoints.metadata ?? {};
  const kept = Object.entries(annotations ?? {}).filter(([key]) => !keptBack.includes(key));
  return {
    apiVersion: apiVersionOf(endpointSlices), kind: endpointSlices.kind,
    metadata: {
      generateName: `${name}-`, namespace, labels: { ...labels, [serviceNameLabel]: name, [managedByLabel]: managedByUs },
      ...(kept.length > 0 && { annotations: Object.fromEntries(kept) }), ownerReferences: [controllerReference(endpointsResource, endpoints)],
    },
    addressType, endpoints: list, ports: [...ports],
  };
}
