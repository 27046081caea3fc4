import type { EndpointSlice, LoadBalancerIngress, Node, Service } from '#api/gen/types.ts';
import { services as resource } from '#api/kinds/resources.ts';
import { isConditionTrue } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf } from '#api/meta/object.ts';
import { eventAction } from '../execute.ts';
import { ipFamilies } from '../service-endpoints.ts';
import type { Action } from '../types.ts';

const excludeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers';

export interface LoadBalancerSnapshot {
  readonly service: Service;
  readonly nodes: readonly Node[];
  /** Of the Service. */
  readonly slices: readonly EndpointSlice[];
  /** Other Services that get the same addresses. */
  readonly others: readonly Service[];
  /** TCP ports of the hosts themselves, which no Service may take, and whose they are. */
  readonly reservedPorts: ReadonlyMap<number, string>;
}

/** One of these is another's: a class says whose. */
export function isOurs({ metadata, spec }: Service): boolean {
  return spec?.type === 'LoadBalancer' && spec.loadBalancerClass === undefined && metadata?.deletionTimestamp === undefined;
}

/** The Service's addresses: those of every host, as long as nobody else has taken its ports on them. */
export function reconcileLoadBalancer(snapshot: LoadBalancerSnapshot): Action[] {
  const { service } = snapshot;
  const before = service.status?.loadBalancer?.ingress ?? [];
  if (service.spec?.type !== 'LoadBalancer') return before.length > 0 ? [write(service, [])] : [];
  if (!isOurs(service)) return [];
  const problem = portProblem(snapshot);
  const ingress = problem === undefined ? addressesOf(snapshot) : [];
  const events = problem === undefined ? [] : [eventAction(resource, service, 'Warning', 'SyncLoadBalancerFailed', `Error syncing load balancer: failed to ensure load balancer: ${problem}`)];
  if (equal(ingress, before)) return events;
  if (ingress.length > 0 && before.length === 0) events.push(eventAction(resource, service, 'Normal', 'EnsuredLoadBalancer', 'Ensured load balancer'));
  return [write(service, ingress), ...events];
}

function write(service: Service, ingress: LoadBalancerIngress[]): Action {
  return { type: 'update', resource, object: { ...service, status: { ...service.status, loadBalancer: ingress.length > 0 ? { ingress } : {} } } as Service, subresource: 'status' };
}

/** A port goes to the first that asks for it. */
function portProblem({ service, others, reservedPorts }: LoadBalancerSnapshot): string | undefined {
  for (const { port, protocol = 'TCP' } of service.spec?.ports ?? []) {
    const reserved = protocol === 'TCP' ? reservedPorts.get(port) : undefined;
    if (reserved !== undefined) return `port ${String(port)} of every host is ${reserved}'s; choose another`;
    const rival = others.find((other) => isBefore(other, service) && other.spec?.ports?.some((one) => one.port === port && (one.protocol ?? 'TCP') === protocol));
    if (rival) return `port ${String(port)}/${protocol} of every host is taken by Service ${keyOf(rival)}; choose another, or reach both by one Ingress`;
  }
  return undefined;
}

/** Who has addresses keeps them. */
function isBefore(a: Service, b: Service): boolean {
  const has = ({ status }: Service): number => Number((status?.loadBalancer?.ingress ?? []).length > 0);
  const [first, second] = [a.metadata?.creationTimestamp ?? '', b.metadata?.creationTimestamp ?? ''];
  if (has(a) !== has(b)) return has(a) > has(b);
  return first === second ? keyOf(a) < keyOf(b) : first < second;
}

function addressesOf({ service, nodes, slices }: LoadBalancerSnapshot): LoadBalancerIngress[] {
  const isLocal = service.spec?.externalTrafficPolicy === 'Local';
  const serving = new Set(slices.flatMap(({ endpoints }) => (endpoints ?? []).flatMap(({ conditions, nodeName }) => (conditions?.ready === false ? [] : nodeName ?? []))));
  const able = nodes.filter(({ metadata, status }) => metadata?.deletionTimestamp === undefined && metadata?.labels?.[excludeLabel] === undefined
    && isConditionTrue(status?.conditions, 'Ready') && (!isLocal || serving.has(metadata?.name ?? '')));
  const asked = service.spec?.loadBalancerIP;
  const ips = able.flatMap((node) => ipFamilies(service).flatMap((family) => addressOf(node, family === 'IPv6') ?? [])).filter((ip) => !asked || ip === asked);
  return [...new Set(ips)].sort().map((ip) => ({ ip, ipMode: 'VIP' }));
}

/** What others reach the node by: its external address where it has one. */
function addressOf({ status }: Node, isV6: boolean): string | undefined {
  const own = (status?.addresses ?? []).filter(({ address }) => address.includes(':') === isV6);
  return (own.find(({ type }) => type === 'ExternalIP') ?? own.find(({ type }) => type === 'InternalIP'))?.address;
}
