import type { DiscoveryEndpointPort, Endpoint, EndpointSlice, Pod, Service } from '#api/gen/types.ts';
import { apiVersionOf, endpointSlices, services } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { serviceNameLabel } from '../indexes.ts';
import { controllerReference, withMetadata } from '../owner-refs.ts';
import { isShared, shareOut } from './topology.ts';
import { endpointsOf, hasManagedEndpoints, inheritedLabels, ipFamilies, type EndpointPortNumber, type IpFamily, type ServiceEndpoint } from '../service-endpoints.ts';

export const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
export const managedByUs = 'endpointslice-controller.k8s.io';

export interface EndpointSliceSnapshot {
  readonly service: Service;
  /** Of the Service's namespace. */
  readonly pods: readonly Pod[];
  /** Of the Service, ours only. */
  readonly slices: readonly EndpointSlice[];
  readonly maxEndpointsPerSlice: number;
  /** Zone of a node. */
  readonly zoneOf: (nodeName: string) => string | undefined;
  /** The part of all CPUs that each zone has; asked where endpoints are shared out by it. */
  readonly shares: () => ReadonlyMap<string, number> | undefined;
}

export interface SliceChanges {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
}

/** Pods that serve the same port numbers share slices. */
interface Group { readonly ports: readonly EndpointPortNumber[]; readonly endpoints: Map<string, Endpoint> }

/** A slice on its way: what it was and which endpoints it will have. */
interface Planned { readonly slice: EndpointSlice; readonly endpoints: Endpoint[]; changed: boolean }

/** The fewest writes that make the Service's slices say which pods serve it. Endpoints stay in their slice. */
export function reconcileSlices(snapshot: EndpointSliceSnapshot): SliceChanges {
  const { service } = snapshot;
  if (!hasManagedEndpoints(service)) return { create: [], update: [], remove: [] };
  const families = ipFamilies(service);
  const alive = snapshot.slices.filter((slice) => slice.metadata?.deletionTimestamp === undefined);
  const stale = alive.filter((slice) => !families.some((family) => family === slice.addressType));
  const parts = families.map((family) => reconcileFamily(snapshot, family, alive.filter((slice) => slice.addressType === family)));
  return {
    create: parts.flatMap((part) => part.create),
    update: parts.flatMap((part) => part.update),
    remove: [...stale, ...parts.flatMap((part) => part.remove)],
  };
}

function reconcileFamily(snapshot: EndpointSliceSnapshot, family: IpFamily, slices: readonly EndpointSlice[]): SliceChanges {
  const { service, maxEndpointsPerSlice: max } = snapshot;
  const groups = groupByPorts(snapshot, endpointsOf(service, snapshot.pods, family));
  if (isShared(service)) shareGroups(groups, slices, snapshot.shares());
  const planned = slices.map((slice) => keepWanted(service, slice, groups.get(portsKey(slice.ports ?? []))));
  const create: EndpointSlice[] = [];
  for (const [key, group] of groups) {
    const own = planned.filter(({ slice, endpoints }) => endpoints.length > 0 && portsKey(slice.ports ?? []) === key);
    const rest = placeRemaining([...group.endpoints.values()], own, max);
    for (let i = 0; i < rest.length; i += max) create.push(newSlice(service, family, group.ports, rest.slice(i, i + max)));
  }
  const full = planned.filter(({ endpoints }) => endpoints.length > 0);
  let empty = planned.filter(({ endpoints }) => endpoints.length === 0);
  // A Service without endpoints has one empty slice, so that readers can tell "none" from "not known yet".
  if (full.length === 0 && create.length === 0) {
    const placeholder = empty.find(({ slice }) => (slice.ports ?? []).length === 0);
    if (placeholder) full.push(placeholder);
    else create.push(newSlice(service, family, [], []));
    empty = empty.filter((plan) => plan !== placeholder);
  }
  return {
    create,
    update: full.filter(({ changed }) => changed).map(({ slice, endpoints }) => ({ ...withMetadata(slice, metadataOf(service, slice)), endpoints })),
    remove: empty.map(({ slice }) => slice),
  };
}

function groupByPorts(snapshot: EndpointSliceSnapshot, endpoints: readonly ServiceEndpoint[]): Map<string, Group> {
  const groups = new Map<string, Group>();
  for (const endpoint of endpoints) {
    const key = portsKey(endpoint.ports);
    const group = groups.get(key) ?? { ports: endpoint.ports, endpoints: new Map<string, Endpoint>() };
    groups.set(key, group);
    group.endpoints.set(endpoint.targetRef.uid ?? '', toEndpoint(snapshot, endpoint));
  }
  return groups;
}

function toEndpoint({ service, zoneOf }: EndpointSliceSnapshot, { addresses, serving, terminating, hostname, nodeName, targetRef }: ServiceEndpoint): Endpoint {
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const zone = nodeName === undefined ? undefined : zoneOf(nodeName);
  return {
    addresses: [...addresses], conditions: { ready, serving, terminating }, ...(ready && hintsFor(service, nodeName, zone)),
    ...(hostname !== undefined && { hostname }), ...(nodeName !== undefined && { nodeName }), ...(zone !== undefined && { zone }), targetRef,
  };
}

/** Who is to use the endpoint first, where the Service asks for that. An endpoint that serves nobody is for nobody. */
function hintsFor({ spec }: Service, nodeName: string | undefined, zone: string | undefined): Pick<Endpoint, 'hints'> {
  const wanted = spec?.trafficDistribution;
  const forZones = wanted !== undefined && zone !== undefined && [{ name: zone }];
  const forNodes = wanted === 'PreferSameNode' && nodeName !== undefined && [{ name: nodeName }];
  return forZones || forNodes ? { hints: { ...(forNodes && { forNodes }), ...(forZones && { forZones }) } } : {};
}

/** Says of each ready endpoint which zone is to use it. */
function shareGroups(groups: ReadonlyMap<string, Group>, slices: readonly EndpointSlice[], shares: ReadonlyMap<string, number> | undefined): void {
  const before = new Map(slices.flatMap(({ endpoints }) => (endpoints ?? []).map(({ targetRef, hints }) => [targetRef?.uid ?? '', hints?.forZones?.[0]?.name] as const)));
  const ready = [...groups.values()].flatMap(({ endpoints }) => [...endpoints].filter(([, { conditions }]) => conditions?.ready === true).map(([id, { zone }]) => ({ id, zone, before: before.get(id) })));
  const hints = shares && shareOut(ready, shares);
  if (hints === undefined) return;
  for (const { endpoints } of groups.values()) {
    for (const [id, endpoint] of endpoints) {
      const name = hints.get(id);
      if (name !== undefined) endpoints.set(id, { ...endpoint, hints: { forZones: [{ name }] } });
    }
  }
}

/** Takes what the slice already has out of the group; what remains in the group has no slice yet. */
function keepWanted(service: Service, slice: EndpointSlice, group: Group | undefined): Planned {
  const endpoints: Endpoint[] = [];
  const before = slice.endpoints ?? [];
  for (const old of before) {
    const uid = old.targetRef?.uid ?? '';
    const wanted = group?.endpoints.get(uid);
    if (wanted === undefined) continue;
    group?.endpoints.delete(uid);
    endpoints.push(equal(old, wanted) ? old : wanted);
  }
  const { labels, ownerReferences } = slice.metadata ?? {};
  const changed = endpoints.length !== before.length || endpoints.some((endpoint, i) => endpoint !== before[i])
    || !equal({ labels, ownerReferences }, metadataOf(service, slice));
  return { slice, endpoints, changed };
}

/** Fills slices that are written anyway, then one more if it holds all the rest. Returns what needs new slices. */
function placeRemaining(remaining: readonly Endpoint[], own: readonly Planned[], max: number): Endpoint[] {
  const rest = [...remaining];
  for (const plan of own.filter(({ changed }) => changed)) plan.endpoints.push(...rest.splice(0, max - plan.endpoints.length));
  if (rest.length === 0 || rest.length >= max) return rest;
  const fullest = own.filter(({ changed, endpoints }) => !changed && endpoints.length + rest.length <= max)
    .sort((a, b) => b.endpoints.length - a.endpoints.length)[0];
  if (fullest === undefined) return rest;
  fullest.endpoints.push(...rest);
  fullest.changed = true;
  return [];
}

function newSlice(service: Service, addressType: IpFamily, ports: readonly EndpointPortNumber[], endpoints: readonly Endpoint[]): EndpointSlice {
  return {
    apiVersion: apiVersionOf(endpointSlices), kind: endpointSlices.kind,
    metadata: { generateName: `${service.metadata?.name ?? ''}-`, namespace: service.metadata?.namespace, ...metadataOf(service, undefined) },
    addressType,
    endpoints: [...endpoints],
    ports: ports.map(({ name, port, protocol, appProtocol }) => ({ name, port, protocol, ...(appProtocol !== undefined && { appProtocol }) })),
  };
}

function metadataOf(service: Service, slice: EndpointSlice | undefined) {
  const reference = controllerReference(services, service);
  const others = (slice?.metadata?.ownerReferences ?? []).filter((r) => r.uid !== reference.uid);
  return {
    labels: { ...inheritedLabels(service), [serviceNameLabel]: service.metadata?.name ?? '', [managedByLabel]: managedByUs },
    ownerReferences: [...others, reference],
  };
}

function portsKey(ports: readonly (EndpointPortNumber | DiscoveryEndpointPort)[]): string {
  return ports.map((p) => [p.name ?? '', p.port ?? '', p.protocol ?? 'TCP', p.appProtocol ?? ''].join('/')).sort().join(',');
}
