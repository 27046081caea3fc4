import { hash } from 'node:crypto';
import type { EndpointSlice, Node, Service } from '#api/gen/types.ts';
import { endpointSlices, nodes, secrets, services } from '#api/kinds/resources.ts';
import { AddressPool, poolSecret } from '#api/load-balancer/pool.ts';
import { keyOf } from '#api/meta/object.ts';
import type { DesiredState } from '#agent/state/types.ts';
import type { Claimable } from './election.ts';

const excludeLabel = 'node.kubernetes.io/exclude-from-external-load-balancers';
const serviceNameLabel = 'kubernetes.io/service-name';

export interface Wanted {
  readonly pool: AddressPool;
  /** By which hosts know each other's words. */
  readonly key: Buffer;
  readonly claimables: readonly Claimable[];
  /** Nodes and the address to reach each by. */
  readonly addresses: ReadonlyMap<string, string>;
}

/** All that the desired state says about addresses of the pool; undefined where there is no pool, or none that can be understood. */
export function wantedOf(state: Pick<DesiredState, 'get' | 'list'>): Wanted | undefined {
  const { pool: ranges, key } = state.get(secrets, poolSecret.namespace, poolSecret.name)?.data ?? {};
  if (ranges === undefined || key === undefined) return undefined;
  let pool;
  try { pool = AddressPool.parse(Buffer.from(ranges, 'base64').toString().split(',')); } catch { return undefined; }
  const hosts = state.list(nodes);
  const slices = state.list(endpointSlices);
  return {
    pool, key: Buffer.from(key, 'base64'), claimables: state.list(services).flatMap((service) => claimablesOf(service, pool, hosts, slices)),
    addresses: new Map(hosts.flatMap((node) => {
      const address = node.status?.addresses?.find(({ type }) => type === 'InternalIP')?.address;
      return address === undefined ? [] : [[node.metadata?.name ?? '', address] as const];
    })),
  };
}

function claimablesOf(service: Service, pool: AddressPool, hosts: readonly Node[], slices: readonly EndpointSlice[]): Claimable[] {
  const ips = service.spec?.type === 'LoadBalancer' ? (service.status?.loadBalancer?.ingress ?? []).flatMap(({ ip }) => (ip !== undefined && pool.has(ip) ? [ip] : [])) : [];
  if (ips.length === 0) return [];
  const isLocal = service.spec?.externalTrafficPolicy === 'Local';
  const { namespace, name } = service.metadata ?? {};
  const own = isLocal ? slices.filter(({ metadata }) => metadata?.namespace === namespace && metadata?.labels?.[serviceNameLabel] === name).flatMap(({ endpoints }) => endpoints ?? []) : [];
  const ready = own.filter(({ conditions }) => conditions?.ready !== false);
  // While all end, those that still answer do.
  const serving = new Set((ready.length > 0 ? ready : own.filter(({ conditions }) => conditions?.serving === true)).map(({ nodeName }) => nodeName));
  const candidates = hosts.filter(({ metadata }) => metadata?.labels?.[excludeLabel] === undefined && (!isLocal || serving.has(metadata?.name))).map(({ metadata }) => metadata?.name ?? '');
  return ips.map((ip) => ({ ip, service: keyOf(service), order: orderOf(ip, candidates) }));
}

/** Another one for each address, the same on all hosts. */
function orderOf(ip: string, candidates: readonly string[]): string[] {
  const ranked = candidates.map((node) => ({ node, rank: hash('sha1', `${ip} ${node}`, 'hex') }));
  return ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1)).map(({ node }) => node);
}
