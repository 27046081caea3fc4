import type { EndpointSlice, LoadBalancerIngress, Node, Secret, Service } from '#api/gen/types.ts';
import { secrets, services as resource } from '#api/kinds/resources.ts';
import { isConditionTrue } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf } from '#api/meta/object.ts';
import { hostsClass, poolClass, poolSecret, type AddressPool } from '#api/load-balancer/pool.ts';
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
  readonly pool?: AddressPool | undefined;
  /** Addresses of the pool that somebody else has. */
  readonly taken?: ReadonlySet<string>;
}

/** Others are another's: a class says whose. */
export function isOurs({ metadata, spec }: Service, pool?: AddressPool): boolean {
  const classes = [undefined, hostsClass, ...(pool ? [poolClass] : [])];
  return spec?.type === 'LoadBalancer' && classes.includes(spec.loadBalancerClass) && metadata?.deletionTimestamp === undefined;
}

/** Whether the Service's address comes from the pool; every host's own otherwise. */
export function isPooled({ spec }: Service, pool: AddressPool | undefined): pool is AddressPool {
  return pool !== undefined && spec?.loadBalancerClass !== hostsClass;
}

/** The Service's addresses: of the pool, or those of every host, as long as nobody else has taken its ports on them. */
export function reconcileLoadBalancer(snapshot: LoadBalancerSnapshot): Action[] {
  const { service } = snapshot;
  const before = service.status?.loadBalancer?.ingress ?? [];
  if (service.spec?.type !== 'LoadBalancer') return before.length > 0 ? [write(service, [])] : [];
  if (!isOurs(service, snapshot.pool)) return [];
  const { problem, ingress } = isPooled(service, snapshot.pool) ? pooled(snapshot, snapshot.pool) : ofHosts(snapshot);
  const events = problem === undefined ? [] : [eventAction(resource, service, 'Warning', 'SyncLoadBalancerFailed', `Error syncing load balancer: failed to ensure load balancer: ${problem}`)];
  if (equal(ingress, before)) return events;
  if (ingress.length > 0 && before.length === 0) events.push(eventAction(resource, service, 'Normal', 'EnsuredLoadBalancer', 'Ensured load balancer'));
  return [write(service, ingress), ...events];
}

interface Outcome {
  readonly ingress: LoadBalancerIngress[];
  readonly problem?: string | undefined;
}

function ofHosts(snapshot: LoadBalancerSnapshot): Outcome {
  const problem = portProblem(snapshot);
  return { problem, ingress: problem === undefined ? addressesOf(snapshot) : [] };
}

/** One address for each family of the Service that the pool has: the one that it has already, or the one it asks for, or the next that is free. */
function pooled({ service, taken = new Set() }: LoadBalancerSnapshot, pool: AddressPool): Outcome {
  const asked = service.spec?.loadBalancerIP;
  if (asked && !pool.has(asked)) return { ingress: [], problem: `the address ${asked} is none of --load-balancer-pool; ask for one of those, or for none` };
  if (asked && taken.has(asked)) return { ingress: [], problem: `the address ${asked} is taken already; ask for another, or for none` };
  const before = (service.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip !== undefined && pool.has(ip) && !taken.has(ip) ? [ip] : []));
  const families = ipFamilies(service).map((family) => family === 'IPv6').filter((isV6) => pool.hasFamily(isV6));
  const ips = families.map((isV6) => {
    if (asked && asked.includes(':') === isV6) return asked;
    return before.find((ip) => ip.includes(':') === isV6) ?? pool.next(isV6, taken);
  });
  const found = ips.flatMap((ip) => ip ?? []);
  const problem = families.length === 0 ? `--load-balancer-pool has no address of ${ipFamilies(service).join(' or ')}; add some`
    : found.length < ips.length ? 'every address of --load-balancer-pool is taken; add some, or remove a Service of type LoadBalancer' : undefined;
  return { ingress: found.map((ip) => ({ ip, ipMode: 'VIP' })), problem };
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
export function isBefore(a: Service, b: Service): boolean {
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

/** What the hosts are told: the pool, and a key by which they know each other's words; nothing where there is no pool. */
export function reconcilePoolSecret(present: Secret | undefined, pool: readonly string[] | undefined, newKey: () => string): Action[] {
  if (pool === undefined) return present?.type === poolSecretType ? [{ type: 'delete', resource: secrets, object: present }] : [];
  const text = Buffer.from(pool.join(',')).toString('base64');
  if (present?.data?.['key'] !== undefined && present.data['pool'] === text) return [];
  const key = present?.data?.['key'] ?? newKey();
  if (present) return [{ type: 'update', resource: secrets, object: { ...present, data: { ...present.data, pool: text, key } } as Secret }];
  return [{ type: 'create', resource: secrets, object: { metadata: { ...poolSecret }, type: poolSecretType, data: { pool: text, key } } as Secret }];
}

const poolSecretType = 'cleat.dev/load-balancer';
