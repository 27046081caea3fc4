import type { Wishes } from '../../claims.ts';
import { familyOf, type Family } from '../../families.ts';
import { mark, masquerade, type Chains, type Ruleset } from '../../iptables/layout.ts';
import type { NamedLayout } from '../../iptables/own-chains.ts';
import type { Backend, IpvsScheduler, ProxyConfig, ServicePort } from '../../types.ts';
import { canonical, type Portals } from './portals.ts';
import { serverKey, serverValue } from './servers.ts';

/**
 * Service ports for IPVS. Cluster addresses are on a dummy device of ours, so that the kernel takes packets to them for
 * its own and IPVS sees them. Nothing else is ever put there: a load balancer's address may well be another host's, and a
 * host's addresses come and go. What is meant for such an address, or for a node port, is translated to a portal
 * instead: a port of one of two addresses of the service range that no Service can have.
 *
 *   nat PREROUTING, OUTPUT → PORTALS → OUTSIDE (marks what has to be masqueraded)
 *                                    → EXTERNALS (address, protocol, port) → FW-x (those who may) → EXT-x → a portal
 *                                    → HOSTPORTS (protocol, port)          → EXT-x
 *                                    → NODEPORTS → ports-* (a set)         → the portal of the same port
 *                                                → LOCALPORTS (protocol, port; Local policies) → EXT-x
 *   nat POSTROUTING → POSTROUTING → MASQ, hairpin (a set), EGRESS
 *   filter INPUT, FORWARD, OUTPUT → REFUSALS → REFUSED → REFUSE
 *
 * The rules are few and do not depend on the number of Services, but for one to three for each external address, host port and
 * node port under a Local policy.
 */
export interface IpvsRulesConfig extends ProxyConfig, NamedLayout {
  /** The full name of a set. */
  readonly set: (name: SetName) => string;
}

/** Sets by name, with their types. Source: ipset(8). */
export const setTypes = {
  addresses: 'hash:ip', served: 'hash:ip,port', hairpin: 'hash:ip,port,ip', 'ports-tcp': 'bitmap:port', 'ports-udp': 'bitmap:port', 'ports-sctp': 'bitmap:port',
} as const;
export type SetName = keyof typeof setTypes;
export const setNames = Object.keys(setTypes) as readonly SetName[];

/** Kinds of wishes. `set NAME` and `TABLE CHAIN` stand beside them. */
export const addressKind = 'address';
export const serverKind = 'server';
const chainKind = 'chain';
const ruleLists = [['nat', 'EXTERNALS'], ['nat', 'HOSTPORTS'], ['nat', 'LOCALPORTS'], ['filter', 'REFUSED']] as const;

/** Their rules exclude each other. */
export const unorderedChains: ReadonlySet<string> = new Set(ruleLists.map(([, chain]) => chain));

/** Whether a change of this kind changes the chains. */
export function isRuleKind(kind: string): boolean {
  return kind === chainKind || ruleLists.some(([table, chain]) => kind === `${table} ${chain}`);
}

/** What one service port needs in `family`. */
export function describePort(port: ServicePort, family: Family, config: IpvsRulesConfig, portals: Portals): Wishes {
  return new Description(port, family, config, portals).wishes;
}

class Description {
  readonly wishes = new Map<string, Map<string, string>>();
  readonly #port: ServicePort;
  readonly #family: Family;
  readonly #config: IpvsRulesConfig;
  readonly #portals: Portals;
  readonly #protocol: string;

  constructor(port: ServicePort, family: Family, config: IpvsRulesConfig, portals: Portals) {
    this.#port = port;
    this.#family = family;
    this.#config = config;
    this.#portals = portals;
    this.#protocol = port.protocol.toLowerCase();
    const all = this.#usable(port.endpoints);
    const local = this.#usable(port.localEndpoints);
    const clusterIps = this.#own(port.clusterIps);
    const internal = port.internalLocal ? local : all;
    for (const ip of clusterIps) {
      this.#wish(addressKind, ip, '');
      this.#wish('set addresses', ip, '');
      this.#server(ip, port.port, internal);
      if (internal.length > 0) this.#wish('set served', `${ip},${this.#protocol}:${String(port.port)}`, '');
    }
    for (const backend of [...all, ...local]) if (backend.local) this.#wish('set hairpin', `${backend.ip},${this.#protocol}:${String(backend.port)},${backend.ip}`, '');
    // A single-stack Service has no business on the node ports of the other family.
    this.#outside(clusterIps.length + all.length > 0 ? port.nodePort : 0, all, local);
  }

  #outside(nodePort: number, all: readonly Backend[], local: readonly Backend[]): void {
    const port = this.#port;
    const { chain, own } = this.#config;
    const externalIps = this.#own(port.externalIps);
    const loadBalancerIps = this.#own(port.loadBalancerIps);
    const base = this.#portals.nodePorts(this.#family);
    if (base === undefined || (nodePort === 0 && externalIps.length + loadBalancerIps.length === 0)) return;
    const reachable = port.externalLocal ? local : all;
    const portal = nodePort > 0 && port.hostPort !== true ? { ip: base, port: nodePort } : this.#portals.other(this.#family, port.id, 'outside');
    this.#server(portal.ip, portal.port, reachable);
    if (nodePort > 0 && port.hostPort !== true && !port.externalLocal) {
      if (all.length > 0) this.#wish(`set ports-${this.#protocol}`, String(nodePort), '');
      else for (const where of this.#boundTo()) this.#refuse(`${where} ${this.#match(nodePort)}`);
    }
    const entry = own('EXT', port.id);
    const rules = this.#entryRules(all, reachable, portal);
    const led = this.#lead(nodePort, externalIps, loadBalancerIps, all.length > 0, port.externalLocal && local.length === 0);
    if (led && all.length > 0) this.#wish(chainKind, entry, rules.join('\n'));
    const guards = [...this.#own(port.sourceRanges ?? []), ...loadBalancerIps];
    // A host that has the address itself may use it, too.
    if (this.#guarded && loadBalancerIps.length > 0 && all.length > 0) this.#wish(chainKind, own('FW', port.id), guards.map((range) => `-s ${range} -j ${chain(entry)}`).join('\n'));
  }

  get #guarded(): boolean { return (this.#port.sourceRanges ?? []).length > 0; }

  /** What leads from outside to this port's own chain; returns whether anything does. */
  #lead(nodePort: number, externalIps: readonly string[], loadBalancerIps: readonly string[], served: boolean, refusedOutside: boolean): boolean {
    const port = this.#port;
    const { chain, own } = this.#config;
    const comment = `-m comment --comment "${port.id}"`;
    const entry = chain(own('EXT', port.id));
    const lead = (kind: string, match: string, refusals: readonly string[], target: string): void => {
      if (served) this.#wish(kind, match, `${match} ${comment} -j ${target}`);
      if (!served || refusedOutside) for (const refusal of refusals) this.#refuse(refusal);
    };
    for (const ip of externalIps) lead('nat EXTERNALS', `-d ${ip} ${this.#match(port.port)}`, [`-d ${ip} ${this.#match(port.port)}`], entry);
    for (const ip of loadBalancerIps) {
      const match = `-d ${ip} ${this.#match(port.port)}`;
      lead('nat EXTERNALS', match, [match], this.#guarded ? chain(own('FW', port.id)) : entry);
      if (this.#guarded && served) this.#wish('filter REFUSED', `${match} guarded`, `${match} ${comment} -j DROP`);
    }
    if (nodePort > 0 && port.hostPort === true) lead('nat HOSTPORTS', this.#match(nodePort), [`-m addrtype --dst-type LOCAL ${this.#match(nodePort)}`], entry);
    else if (nodePort > 0 && port.externalLocal) lead('nat LOCALPORTS', this.#match(nodePort), this.#boundTo().map((where) => `${where} ${this.#match(nodePort)}`), entry);
    return externalIps.length + loadBalancerIps.length > 0 || (nodePort > 0 && (port.externalLocal || port.hostPort === true));
  }

  #entryRules(all: readonly Backend[], reachable: readonly Backend[], portal: { readonly ip: string; readonly port: number }): string[] {
    const translate = (to: { readonly ip: string; readonly port: number }): string => `-p ${this.#protocol} -j DNAT --to-destination ${to.ip.includes(':') ? `[${to.ip}]` : to.ip}:${String(to.port)}`;
    const masqueraded = `-j MARK --set-xmark ${mark}`;
    if (!this.#port.externalLocal) return [masqueraded, translate(portal)];
    const outside = reachable.length > 0 ? [translate(portal)] : [];
    if (all.length === reachable.length) return outside;
    // From within the cluster every endpoint will do; from outside only those here, with the client's address kept.
    const { chain, own } = this.#config;
    const inner = this.#portals.other(this.#family, this.#port.id, 'inside');
    const name = own('ALL', this.#port.id);
    this.#server(inner.ip, inner.port, all);
    this.#wish(chainKind, name, [masqueraded, translate(inner)].join('\n'));
    const pods = this.#own(this.#config.podCidrs);
    return [...pods.map((cidr) => `-s ${cidr} -j ${chain(name)}`), `-m addrtype --src-type LOCAL -j ${chain(name)}`, ...outside];
  }

  #refuse(match: string): void {
    this.#wish('filter REFUSED', match, `${match} -m comment --comment "${this.#port.id}" -j ${this.#config.chain('REFUSE')}`);
  }

  #match(port: number): string {
    return `-p ${this.#protocol} -m ${this.#protocol} --dport ${String(port)}`;
  }

  #boundTo(): string[] {
    return boundTo(this.#family, this.#config);
  }

  #server(ip: string, port: number, backends: readonly Backend[]): void {
    const scheduler: IpvsScheduler = this.#config.ipvsScheduler ?? 'rr';
    this.#wish(serverKind, serverKey({ protocol: this.#protocol, ip, port }), serverValue({ scheduler, affinitySeconds: this.#port.affinitySeconds, backends }));
  }

  #usable(backends: readonly Backend[]): Backend[] {
    return backends.filter(({ ip }) => familyOf(ip) === this.#family).map((backend) => ({ ...backend, ip: canonical(backend.ip) }));
  }

  #own(ips: readonly string[]): string[] {
    return [...new Set(ips.filter((ip) => familyOf(ip) === this.#family).map((ip) => (ip.includes('/') ? ip : canonical(ip))))];
  }

  #wish(kind: string, key: string, value: string): void {
    const keys = this.wishes.get(kind) ?? new Map<string, string>();
    this.wishes.set(kind, keys.set(key, value));
  }
}

/** What the addresses of node ports match. */
function boundTo(family: Family, config: ProxyConfig): string[] {
  const loopback = family === 'ip' ? '127.0.0.0/8' : '::1/128';
  if (!config.nodePortAddresses?.length) return [`! -d ${loopback} -m addrtype --dst-type LOCAL`];
  return config.nodePortAddresses.filter((cidr) => familyOf(cidr) === family).map((cidr) => `-d ${cidr} -m addrtype --dst-type LOCAL`);
}

/** All chains: those that are always there, and what `wished` says of a kind. */
export function ruleset(family: Family, config: IpvsRulesConfig, portals: Portals, wished: (kind: string) => ReadonlyMap<string, string>): Ruleset {
  const { chain, set } = config;
  const pods = config.podCidrs.filter((cidr) => familyOf(cidr) === family);
  const services = config.serviceCidrs.filter((cidr) => familyOf(cidr) === family);
  const loopback = family === 'ip' ? '127.0.0.0/8' : '::1/128';
  const base = portals.nodePorts(family);
  const toPortal = base === undefined ? [] : [`-j MARK --set-xmark ${mark}`, ...(['tcp', 'udp', 'sctp'] as const).map((protocol) => `-p ${protocol} -j DNAT --to-destination ${base}`)];
  const nat = new Map<string, readonly string[]>([
    ['PORTALS', [
      `-j ${chain('OUTSIDE')}`, `-j ${chain('EXTERNALS')}`,
      // The cluster addresses are this host's, too, but have no node ports.
      ...services.map((cidr) => `-d ${cidr} -j RETURN`),
      `! -d ${loopback} -m addrtype --dst-type LOCAL -j ${chain('HOSTPORTS')}`, ...boundTo(family, config).map((match) => `${match} -j ${chain('NODEPORTS')}`),
    ]],
    ['OUTSIDE', [...pods.map((cidr) => `-s ${cidr} -j RETURN`), ...services.map((cidr) => `-d ${cidr} -j MARK --set-xmark ${mark}`)]],
    ['NODEPORTS', [...(['tcp', 'udp', 'sctp'] as const).map((protocol) => `-p ${protocol} -m set --match-set ${set(`ports-${protocol}`)} dst -j ${chain('NODEPORT')}`), `-j ${chain('LOCALPORTS')}`]],
    ['NODEPORT', toPortal],
    ['POSTROUTING', [
      `-m mark --mark ${mark} -j ${chain('MASQ')}`, `-m set --match-set ${set('hairpin')} src,dst,dst ${masquerade}`, ...pods.map((cidr) => `-s ${cidr} -j ${chain('EGRESS')}`),
    ]],
    ['MASQ', ['-j MARK --xor-mark 0x1000', masquerade]],
    ['EGRESS', [...pods.map((cidr) => `-d ${cidr} -j RETURN`), masquerade]],
  ]);
  const filter = new Map<string, readonly string[]>([
    ['REFUSALS', [
      ...services.map((cidr) => `-d ${cidr} -m addrtype ! --dst-type LOCAL -j ${chain('REFUSE')}`),
      // Being this host's address must not open the host's own ports to those who ask it.
      `-m set --match-set ${set('addresses')} dst -m set ! --match-set ${set('served')} dst,dst -j ${chain('REFUSE')}`,
      ...portals.addresses(family).map((ip) => `-d ${ip} -m conntrack ! --ctstate DNAT -j ${chain('REFUSE')}`),
      `-j ${chain('REFUSED')}`,
    ]],
    ['REFUSE', ['-p tcp -j REJECT --reject-with tcp-reset', '-j REJECT']],
  ]);
  const tables = { nat, filter };
  for (const [table, name] of ruleLists) tables[table].set(name, [...wished(`${table} ${name}`).values()]);
  for (const [name, rules] of wished(chainKind)) nat.set(name, rules === '' ? [] : rules.split('\n'));
  return tables satisfies Record<'nat' | 'filter', Chains>;
}
