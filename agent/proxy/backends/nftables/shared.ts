import type { Family } from '../../families.ts';
import type { Backend, ServicePort } from '../../types.ts';

/**
 * What many service ports use together, so that another Service adds elements to maps, but no chain and no map: nft reads
 * the names of all of these before each of its transactions, which would take the longer the more there are. A KIND
 * is how traffic is recognized: `ips` by address, protocol and port, `nodeports` and `hostports` by protocol and port.
 *
 *   KIND/all/to-I     the I-th endpoint of each service port: a map, and a chain that sends there
 *   KIND/all/N        sends to one of the first N endpoints        KIND/masq/N    the same, masqueraded on the way to another host
 *   KIND/local/...    the same among the endpoints of this host    KIND/ext/N     traffic from outside under a Local policy: to one of N local
 *                     ones; from within the cluster wherever KIND/inside leads, which is KIND/masq/N
 */
export interface SharedPart {
  readonly chain: readonly string[];
  /** The declaration of a map of the same name. */
  readonly map?: string;
  /** What its chain leads to, which has to be there before. */
  readonly needs: readonly string[];
}

export const kinds = ['ips', 'nodeports', 'hostports'] as const;
export type Kind = (typeof kinds)[number];

/** Service ports with more endpoints have chains of their own, or one Service of hundreds would make as many maps. */
export const maxSharedEndpoints = 64;

/** One mark bit tells the postrouting chain to masquerade; cleared there. Chosen apart from the bits of kube-proxy, portmap, Calico and Tailscale. */
export const masqueradeMark = '0x00001000';
export const setMark = `meta mark set meta mark or ${masqueradeMark}`;

export function isShared({ affinitySeconds, endpoints, localEndpoints }: Pick<ServicePort, 'affinitySeconds' | 'endpoints' | 'localEndpoints'>): boolean {
  return affinitySeconds === 0 && Math.max(endpoints.length, localEndpoints.length) <= maxSharedEndpoints;
}

/** Where a destination leads, and for shared chains what they look up by the same key. */
export interface Lead {
  readonly chain: string;
  /** Maps that have the first endpoint, the second and so on: without the number. */
  readonly lists: readonly { readonly map: string; readonly backends: readonly Backend[] }[];
  /** What `KIND/inside` has. */
  readonly inside?: string;
}

/** Leads to any of `backends`; `masquerade`: as traffic from outside. */
export function leadTo(kind: Kind, list: 'all' | 'local', backends: readonly Backend[], masquerade = false): Lead {
  return { chain: `${kind}/${masquerade ? 'masq' : list}/${String(backends.length)}`, lists: [{ map: `${kind}/${list}/to-`, backends }] };
}

/** Leads from within the cluster to any of `all`, from outside to those here with the client's address kept. */
export function leadToLocal(kind: Kind, all: readonly Backend[], local: readonly Backend[]): Lead {
  const inside = leadTo(kind, 'all', all, true);
  return { chain: `${kind}/ext/${String(local.length)}`, lists: [...inside.lists, ...leadTo(kind, 'local', local).lists], inside: inside.chain };
}

/** What the maps have to hold for it: map → value. `endpoint`: of a map that a packet may be on its way to. */
export function eachLookup(kind: string, { lists, inside }: Lead, visit: (map: string, value: string, endpoint: boolean) => void): void {
  for (const { map, backends } of lists) backends.forEach(({ ip, port }, i) => { visit(`${map}${String(i)}`, `${ip} . ${String(port)}`, true); });
  if (inside !== undefined) visit(`${kind}/inside`, `goto ${inside}`, false);
}

/** What to make for a name from a `Lead`. */
export function sharedPart(name: string, family: Family): SharedPart {
  const [kind, what, count = ''] = name.split('/') as [Kind, string, string?];
  const key = matchOf(kind, family);
  if (count.startsWith('to-')) return { chain: [`dnat ${family} addr . port to ${key} map @${name}`], map: `{ type ${keyType(kind, family)} : ${addressType(family)} . inet_service; }`, needs: [] };
  if (what === 'inside') return { chain: [`${key} vmap @${name}`], map: `{ type ${keyType(kind, family)} : verdict; }`, needs: [] };
  if (what === 'masq') return { chain: [setMark, `goto ${kind}/all/${count}`], needs: [`${kind}/all/${count}`] };
  const list = what === 'ext' ? 'local' : what;
  const targets = Array.from({ length: Number(count) }, (_, i) => `${kind}/${list}/to-${String(i)}`);
  const choices = targets.map((target, i) => `${String(i)} : goto ${target}`);
  const pick = targets.length < 2 ? targets.map((target) => `goto ${target}`) : [`numgen random mod ${count} vmap { ${choices.join(', ')} }`];
  if (what !== 'ext') return { chain: pick, needs: targets };
  return { chain: [`${family} saddr @pod-cidrs goto ${kind}/inside`, `fib saddr type local goto ${kind}/inside`, ...pick], needs: [`${kind}/inside`, ...targets] };
}

/** The expression that a kind is looked up by. */
export function matchOf(kind: Kind, family: Family): string {
  return `${kind === 'ips' ? `${family} daddr . ` : ''}meta l4proto . th dport`;
}

export function keyType(kind: Kind, family: Family): string {
  return `${kind === 'ips' ? `${addressType(family)} . ` : ''}inet_proto . inet_service`;
}

export function addressType(family: Family): string {
  return family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
}
