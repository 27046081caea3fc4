import { familyOf, type Family } from '../../families.ts';
import { mark, masquerade, type Ruleset } from '../../iptables/layout.ts';
import type { NamedLayout } from '../../iptables/own-chains.ts';
import type { Backend, ProxyConfig, ServicePort } from '../../types.ts';

/**
 * Service ports as iptables rules, in chains of our own that four jumps lead to:
 *
 *   nat PREROUTING, OUTPUT → PORTALS → OUTSIDE (marks what has to be masqueraded)
 *                                    → SERVICES (address, protocol, port)    → SVC-x, ALL-x, EXT-x → an endpoint
 *                                                                            → FW-x (those who may)  → ALL-x, EXT-x
 *                                    → HOSTPORTS, NODEPORTS (protocol, port) → ALL-x, EXT-x
 *   nat POSTROUTING → POSTROUTING → LOCAL (pods of this host), MASQ, HAIRPIN, EGRESS
 *   filter INPUT, FORWARD, OUTPUT → REFUSALS → REFUSED → REFUSE
 *
 * Chain names here are without the prefix that tells agents apart.
 */
export interface RulesConfig extends ProxyConfig, NamedLayout {}

/** Their rules exclude each other. */
export const unorderedChains: ReadonlySet<string> = new Set(['SERVICES', 'HOSTPORTS', 'NODEPORTS', 'HAIRPIN', 'LOCAL', 'REFUSED']);

/** Everything that the chains must hold. An address and port that several claim belongs to the one whose id sorts first. */
export function ruleset(ports: readonly ServicePort[], family: Family, config: RulesConfig): Ruleset {
  const rules = new Builder(family, config);
  for (const port of [...ports].sort((a, b) => (a.id < b.id ? -1 : 1))) rules.port(port);
  return { nat: rules.nat, filter: rules.filter };
}

class Builder {
  readonly nat: Map<string, readonly string[]>;
  readonly filter: Map<string, readonly string[]>;
  readonly #family: Family;
  readonly #config: RulesConfig;
  readonly #services: string[] = [];
  readonly #hostPorts: string[] = [];
  readonly #nodePorts: string[] = [];
  /** What the addresses of node ports match. */
  readonly #bound: readonly string[];
  readonly #refused: string[] = [];
  readonly #hairpin: string[] = [];
  readonly #here: string[] = [];
  readonly #local = new Set<string>();
  readonly #claimed = new Set<string>();

  constructor(family: Family, config: RulesConfig) {
    this.#family = family;
    this.#config = config;
    const { chain } = config;
    const pods = config.podCidrs.filter((cidr) => familyOf(cidr) === family);
    const services = config.serviceCidrs.filter((cidr) => familyOf(cidr) === family);
    const loopback = family === 'ip' ? '127.0.0.0/8' : '::1/128';
    const here = `! -d ${loopback} -m addrtype --dst-type LOCAL`;
    this.#bound = config.nodePortAddresses?.length ? config.nodePortAddresses.filter((cidr) => familyOf(cidr) === family).map((cidr) => `-d ${cidr} -m addrtype --dst-type LOCAL`) : [here];
    this.nat = new Map<string, readonly string[]>([
      ['PORTALS', [`-j ${chain('OUTSIDE')}`, `-j ${chain('SERVICES')}`, `${here} -j ${chain('HOSTPORTS')}`, ...this.#bound.map((match) => `${match} -j ${chain('NODEPORTS')}`)]],
      ['OUTSIDE', [...pods.map((cidr) => `-s ${cidr} -j RETURN`), ...services.map((cidr) => `-d ${cidr} -j MARK --set-xmark ${mark}`)]],
      ['POSTROUTING', [`-m mark --mark ${mark} -j ${chain('LOCAL')}`, `-m mark --mark ${mark} -j ${chain('MASQ')}`, `-j ${chain('HAIRPIN')}`, ...pods.map((cidr) => `-s ${cidr} -j ${chain('EGRESS')}`)]],
      ['MASQ', ['-j MARK --xor-mark 0x1000', masquerade]],
      ['EGRESS', [...pods.map((cidr) => `-d ${cidr} -j RETURN`), masquerade]],
      ['SERVICES', this.#services], ['HOSTPORTS', this.#hostPorts], ['NODEPORTS', this.#nodePorts], ['HAIRPIN', this.#hairpin], ['LOCAL', this.#here],
    ]);
    this.filter = new Map<string, readonly string[]>([
      ['REFUSALS', [...services.map((cidr) => `-d ${cidr} -m addrtype ! --dst-type LOCAL -j ${chain('REFUSE')}`), `-j ${chain('REFUSED')}`]],
      ['REFUSED', this.#refused],
      ['REFUSE', ['-p tcp -j REJECT --reject-with tcp-reset', '-j REJECT']],
    ]);
  }

  port(port: ServicePort): void {
    const { own, chain } = this.#config;
    const ours = (ips: readonly string[]): string[] => [...new Set(ips.filter((ip) => familyOf(ip) === this.#family))];
    const usable = (backends: readonly Backend[]): Backend[] => backends.filter(({ ip }) => familyOf(ip) === this.#family);
    const [all, local] = [usable(port.endpoints), usable(port.localEndpoints)];
    const clusterIps = ours(port.clusterIps);
    const externalIps = ours([...port.externalIps, ...port.loadBalancerIps]);
    // A single-stack Service has no business on the node ports of the other family.
    const nodePort = clusterIps.length + all.length > 0 ? port.nodePort : 0;
    for (const { ip, local: here } of [...all, ...local]) if (here) this.#loop(ip);

    const internal = port.internalLocal ? local : all;
    for (const ip of clusterIps) this.#address(ip, port, own('SVC', port.id), internal.length > 0);
    this.#pick(own('SVC', port.id), [], port, internal, clusterIps.length > 0);
    if (nodePort === 0 && externalIps.length === 0) return;

    const entry = own(port.externalLocal ? 'EXT' : 'ALL', port.id);
    const guarded = (port.sourceRanges ?? []).length > 0;
    for (const ip of ours(port.externalIps)) this.#address(ip, port, entry, all.length > 0, port.externalLocal && local.length === 0);
    for (const ip of ours(port.loadBalancerIps)) {
      this.#address(ip, port, guarded ? own('FW', port.id) : entry, all.length > 0, port.externalLocal && local.length === 0);
      if (guarded && all.length > 0) this.#refused.push(`${addressMatch(ip, port)} -j DROP`);
    }
    if (guarded && all.length > 0 && ours(port.loadBalancerIps).length > 0) {
      // A host that has the address itself may use it, too.
      this.nat.set(own('FW', port.id), [...ours(port.sourceRanges ?? []), ...ours(port.loadBalancerIps)].map((range) => `-s ${range} -j ${chain(entry)}`));
    }
    if (nodePort > 0) this.#nodePort(nodePort, port, entry, all.length > 0, port.externalLocal && local.length === 0);
    this.#pick(own('ALL', port.id), [`-j MARK --set-xmark ${mark}`], port, all, true);
    if (!port.externalLocal || all.length === 0) return;
    // From within the cluster every endpoint will do; from outside only those here, with the client's address kept.
    const pods = this.#config.podCidrs.filter((cidr) => familyOf(cidr) === this.#family);
    const inside = [...pods.map((cidr) => `-s ${cidr}`), '-m addrtype --src-type LOCAL'].map((match) => `${match} -j ${chain(own('ALL', port.id))}`);
    this.nat.set(entry, [...inside, ...this.#choices(port, local)]);
  }

  #loop(ip: string): void {
    if (this.#local.has(ip)) return;
    this.#local.add(ip);
    this.#hairpin.push(`-s ${ip} -d ${ip} ${masquerade}`);
    // Its answers come through this host anyway: the client's address may stay.
    this.#here.push(`-d ${ip} -j MARK --xor-mark 0x1000`);
  }

  #address(ip: string, port: ServicePort, chain: string, served: boolean, refusedOutside = false): void {
    const match = addressMatch(ip, port);
    this.#lead(match, [match], this.#services, port, chain, served, refusedOutside);
  }

  #nodePort(nodePort: number, port: ServicePort, chain: string, served: boolean, refusedOutside: boolean): void {
    const match = `-p ${port.protocol.toLowerCase()} -m ${port.protocol.toLowerCase()} --dport ${String(nodePort)}`;
    const into = port.hostPort ? this.#hostPorts : this.#nodePorts;
    const bound = port.hostPort ? ['-m addrtype --dst-type LOCAL'] : this.#bound;
    this.#lead(match, bound.map((where) => `${where} ${match}`), into, port, chain, served, refusedOutside);
  }

  #lead(match: string, refusals: readonly string[], into: string[], port: ServicePort, chain: string, served: boolean, refusedOutside: boolean): void {
    const claim = port.hostPort ? `host ${match}` : match;
    if (this.#claimed.has(claim)) return;
    this.#claimed.add(claim);
    const comment = `-m comment --comment "${port.id}"`;
    if (served) into.push(`${match} ${comment} -j ${this.#config.chain(chain)}`);
    if (!served || refusedOutside) this.#refused.push(...refusals.map((refusal) => `${refusal} ${comment} -j ${this.#config.chain('REFUSE')}`));
  }

  #pick(chain: string, before: readonly string[], port: ServicePort, backends: readonly Backend[], wanted: boolean): void {
    if (wanted && backends.length > 0) this.nat.set(chain, [...before, ...this.#choices(port, backends)]);
  }

  /** Each endpoint with the same chance; with affinity the one that the client had comes first. */
  #choices(port: ServicePort, backends: readonly Backend[]): string[] {
    const chance = (i: number): string => (i === backends.length - 1 ? '' : `-m statistic --mode random --probability ${(1 / (backends.length - i)).toFixed(10)} `);
    if (port.affinitySeconds === 0) return backends.map((backend, i) => `${chance(i)}-p ${port.protocol.toLowerCase()} ${translate(backend)}`);
    const chains = backends.map((backend) => {
      const name = this.#config.own('SEP', `${port.id} ${backend.ip} ${String(backend.port)}`);
      const chain = this.#config.chain(name);
      this.nat.set(name, [`-p ${port.protocol.toLowerCase()} -m recent --name ${chain} --set ${translate(backend)}`]);
      return chain;
    });
    return [
      ...chains.map((chain) => `-m recent --name ${chain} --rcheck --seconds ${String(port.affinitySeconds)} --reap -j ${chain}`),
      ...chains.map((chain, i) => `${chance(i)}-j ${chain}`),
    ];
  }
}

function addressMatch(ip: string, port: ServicePort): string {
  const protocol = port.protocol.toLowerCase();
  return `-d ${ip} -p ${protocol} -m ${protocol} --dport ${String(port.port)}`;
}

function translate({ ip, port }: Backend): string {
  return `-j DNAT --to-destination ${ip.includes(':') ? `[${ip}]` : ip}:${String(port)}`;
}
