import { familyOf, type Family } from '../../families.ts';
import type { Backend, ProxyConfig, ServicePort } from '../../types.ts';

/**
 * Service ports as nftables text. One table per address family; a lookup in one verdict map finds the chain of a
 * service port however many there are, and that chain picks an endpoint.
 *
 *   service-ips, service-nodeports, service-hostports   address . protocol . port → chain
 *   svc/ID   traffic to a ClusterIP       all/ID   traffic from outside, to any endpoint, masqueraded on its way to another host
 *   ext/ID   traffic from outside under a Local policy       ep/ID/...  one endpoint, with session affinity
 *   fw/ID    traffic to a load balancer's address that not everybody may use: leads on who may, and the rest is dropped
 *
 * Packets to a Service that are not translated by then are refused by the filter chains.
 */
/** One mark bit tells the postrouting chain to masquerade; cleared there. Chosen apart from the bits of kube-proxy, portmap, Calico and Tailscale. */
const masqueradeMark = '0x00001000';

/** What one or more service ports need in one table. */
export interface Description {
  /** Chain name → rules. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Set name → declaration. */
  readonly sets: ReadonlyMap<string, string>;
  /** Set name → key → value (empty for a plain set). Several ports may claim one key. */
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, string>>;
}

/** The part of the table that does not depend on Services: base chains, maps, masquerading, refusal. */
export function baseRules(family: Family, config: ProxyConfig): string {
  const type = addressType(family);
  const range = (cidrs: readonly string[]): string => {
    const own = cidrs.filter((c) => familyOf(c) === family);
    return `{ type ${type}; flags interval; ${own.length > 0 ? `elements = { ${own.join(', ')} }; ` : ''}}`;
  };
  const bound = (config.nodePortAddresses ?? []).filter((c) => familyOf(c) === family);
  const nodePortMatch = config.nodePortAddresses?.length ? `${family} daddr { ${bound.length > 0 ? bound.join(', ') : unspecified(family)} } ` : '';
  const loopback = family === 'ip' ? '127.0.0.0/8' : '::1';
  return `table ${family} ${config.tableName} {
  set pod-cidrs ${range(config.podCidrs)}
  set service-cidrs ${range(config.serviceCidrs)}
  set hairpin { type ${type} . ${type}; }
  set refused-ips { type ${type} . inet_proto . inet_service; }
  set refused-nodeports { type inet_proto . inet_service; }
  set refused-hostports { type inet_proto . inet_service; }
  set guarded-ips { type ${type} . inet_proto . inet_service; }
  map service-ips { type ${type} . inet_proto . inet_service : verdict; }
  map service-nodeports { type inet_proto . inet_service : verdict; }
  map service-hostports { type inet_proto . inet_service : verdict; }

  chain prerouting { type nat hook prerouting priority -100; policy accept; jump services; }
  chain output { type nat hook output priority -100; policy accept; jump services; }
  chain services {
    ${family} saddr != @pod-cidrs ${family} daddr @service-cidrs meta mark set meta mark or ${masqueradeMark}
    ${family} daddr . meta l4proto . th dport vmap @service-ips
    ${family} daddr != ${loopback} fib daddr type local meta l4proto . th dport vmap @service-hostports
    ${nodePortMatch || `${family} daddr != ${loopback} `}fib daddr type local meta l4proto . th dport vmap @service-nodeports
  }

  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    meta mark and ${masqueradeMark} == ${masqueradeMark} ${family} daddr . ${family} daddr @hairpin meta mark set meta mark xor ${masqueradeMark}
    meta mark and ${masqueradeMark} == ${masqueradeMark} meta mark set meta mark xor ${masqueradeMark} masquerade fully-random
    ${family} saddr @pod-cidrs ${family} saddr . ${family} daddr @hairpin masquerade fully-random
    ${family} saddr @pod-cidrs ${family} daddr != @pod-cidrs masquerade fully-random
  }

  chain filter-input { type filter hook input priority -10; policy accept; ct state new jump refusals; }
  chain filter-forward { type filter hook forward priority -10; policy accept; ct state new jump refusals; }
  chain filter-output { type filter hook output priority -10; policy accept; ct state new jump refusals; }
  chain refusals {
    ${family} daddr @service-cidrs fib daddr type != local goto refuse
    ${family} daddr . meta l4proto . th dport @refused-ips goto refuse
    ${family} daddr . meta l4proto . th dport @guarded-ips drop
    fib daddr type local meta l4proto . th dport @refused-hostports goto refuse
    ${nodePortMatch}fib daddr type local meta l4proto . th dport @refused-nodeports goto refuse
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject
  }
}
`;
}

/** What one service port needs in the table of `family`. */
export function describePort(port: ServicePort, family: Family): Description {
  const result = new DescriptionBuilder();
  const protocol = port.protocol.toLowerCase();
  const own = (ips: readonly string[]): string[] => ips.filter((ip) => familyOf(ip) === family);
  const usable = (backends: readonly Backend[]): Backend[] => backends.filter((b) => familyOf(b.ip) === family);
  const all = usable(port.endpoints);
  const local = usable(port.localEndpoints);
  const name = port.id.replace(':', '/');
  const clusterIps = own(port.clusterIps);
  const externalIps = own([...port.externalIps, ...port.loadBalancerIps]);
  // A single-stack Service has no business on the node ports of the other family.
  const nodePort = clusterIps.length + all.length > 0 ? port.nodePort : 0;

  const internal = port.internalLocal ? local : all;
  result.endpoints(`svc/${name}`, [], port, internal, family);
  for (const ip of clusterIps) result.target('ips', `${ip} . ${protocol} . ${String(port.port)}`, `svc/${name}`, internal.length > 0);

  if (nodePort > 0 || externalIps.length > 0) {
    const chain = port.externalLocal ? `ext/${name}` : `all/${name}`;
    result.endpoints(`all/${name}`, [`meta mark set meta mark or ${masqueradeMark}`], port, all, family);
    if (port.externalLocal && all.length > 0) {
      // From within the cluster every endpoint will do; from outside only those here, with the client's address kept.
      const inside = [`${family} saddr @pod-cidrs goto all/${name}`, `fib saddr type local goto all/${name}`];
      result.endpoints(chain, inside, port, local, family, true);
    }
    const key = (ip: string): string => `${ip} . ${protocol} . ${String(port.port)}`;
    const entries: [kind: 'ips' | 'nodeports' | 'hostports', key: string, chain: string][] = own(port.externalIps).map((ip) => ['ips', key(ip), chain]);
    const ranges = own(port.sourceRanges ?? []);
    for (const ip of own(port.loadBalancerIps)) {
      entries.push(['ips', key(ip), port.sourceRanges?.length ? result.guard(`fw/${name}`, chain, ranges, own(port.loadBalancerIps), family) : chain]);
      if (port.sourceRanges?.length && all.length > 0) result.element('guarded-ips', key(ip), '');
    }
    if (nodePort > 0) entries.push([port.hostPort ? 'hostports' : 'nodeports', `${protocol} . ${String(nodePort)}`, chain]);
    for (const [kind, target, to] of entries) {
      result.target(kind, target, to, all.length > 0);
      if (port.externalLocal && local.length === 0) result.element(`refused-${kind}`, target, '');
    }
  }
  for (const backend of new Set([...all, ...local].filter((b) => b.local).map((b) => b.ip))) result.element('hairpin', `${backend} . ${backend}`, '');
  return result;
}

class DescriptionBuilder implements Description {
  readonly chains = new Map<string, readonly string[]>();
  readonly sets = new Map<string, string>();
  readonly elements = new Map<string, Map<string, string>>();

  element(set: string, key: string, value: string): void {
    const elements = this.elements.get(set) ?? new Map<string, string>();
    this.elements.set(set, elements.set(key, value));
  }

  /** Leads `key` to `chain`, or refuses it when there is nothing behind. */
  target(kind: 'ips' | 'nodeports' | 'hostports', key: string, chain: string, served: boolean): void {
    if (served) this.element(`service-${kind}`, key, `goto ${chain}`);
    else this.element(`refused-${kind}`, key, '');
  }

  /** A chain that leads to `chain` whom the ranges let in, and a host that has the address itself. */
  guard(name: string, chain: string, ranges: readonly string[], addresses: readonly string[], family: Family): string {
    const sources = [...ranges, ...addresses];
    if (this.chains.has(chain)) this.chains.set(name, sources.map((range) => `${family} saddr ${range} goto ${chain}`));
    return name;
  }

  /** A chain that runs `before` and then sends to one of `backends`; none without backends, unless `always`. */
  endpoints(chain: string, before: readonly string[], port: ServicePort, backends: readonly Backend[], family: Family, always = false): void {
    if (backends.length === 0 && !always) return;
    const rules = backends.length === 0 ? [] : port.affinitySeconds > 0 ? this.#sticky(port, backends, family) : [pickRule(port, backends, family)];
    this.chains.set(chain, [...before, ...rules]);
  }

  #sticky(port: ServicePort, backends: readonly Backend[], family: Family): string[] {
    const names = backends.map((b) => `${port.id.replace(':', '/')}/${b.ip.replaceAll(':', '-')}/${String(b.port)}`);
    for (const [i, backend] of backends.entries()) {
      const name = names[i] ?? '';
      this.sets.set(`aff/${name}`, `{ type ${addressType(family)}; size 65535; flags dynamic,timeout; timeout ${String(port.affinitySeconds)}s; }`);
      this.chains.set(`ep/${name}`, [`update @aff/${name} { ${family} saddr }`, pickRule(port, [backend], family)]);
    }
    const known = names.map((name) => `${family} saddr @aff/${name} goto ep/${name}`);
    return [...known, `numgen random mod ${String(names.length)} vmap { ${names.map((name, i) => `${String(i)} : goto ep/${name}`).join(', ')} }`];
  }
}

function pickRule(port: ServicePort, backends: readonly Backend[], family: Family): string {
  const match = `meta l4proto ${port.protocol.toLowerCase()}`;
  const [only] = backends;
  if (only && backends.length === 1) return `${match} dnat to ${family === 'ip' ? only.ip : `[${only.ip}]`}:${String(only.port)}`;
  const choices = backends.map((b, i) => `${String(i)} : ${b.ip} . ${String(b.port)}`).join(', ');
  return `${match} dnat ${family} addr . port to numgen random mod ${String(backends.length)} map { ${choices} }`;
}

function unspecified(family: Family): string {
  return family === 'ip' ? '0.0.0.0' : '::';
}

function addressType(family: Family): string {
  return family === 'ip' ? 'ipv4_addr' : 'ipv6_addr';
}
