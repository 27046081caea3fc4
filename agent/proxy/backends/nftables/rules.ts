import { familyOf, type Family } from '../../families.ts';
import type { Backend, ProxyConfig, ServicePort } from '../../types.ts';
import { addressType, eachLookup, isShared, keyType, kinds, leadTo, leadToLocal, masqueradeMark, matchOf, setMark, type Kind, type Lead } from './shared.ts';

/**
 * Service ports as nftables text. One table per address family; a lookup in one verdict map finds what leads on from there,
 * however many service ports there are: chains that all share (shared.ts), or, with session affinity or very many endpoints, its own:
 *
 *   service-ips, service-nodeports, service-hostports   address . protocol . port → chain
 *   svc/ID   traffic to a ClusterIP       all/ID   traffic from outside, to any endpoint, masqueraded on its way to another host
 *   ext/ID   traffic from outside under a Local policy       ep/ID/...  one endpoint, with session affinity
 *   fw/ID    traffic to a load balancer's address that not everybody may use: leads on who may, and the rest is dropped
 *
 * Packets to a Service that are not translated by then are refused by the filter chains.
 */

/** What one or more service ports need in one table. */
export interface Description {
  /** Chain name → rules. */
  readonly chains: ReadonlyMap<string, readonly string[]>;
  /** Set name → declaration. */
  readonly sets: ReadonlyMap<string, string>;
  /** Set name → key → what it holds. Several ports may claim one key. */
  readonly elements: ReadonlyMap<string, ReadonlyMap<string, Element>>;
}

export interface Element {
  /** Empty in a plain set. */
  readonly value: string;
  /** Behind a verdict that leads to shared chains, which have to be there and to find the key in maps of theirs. */
  readonly by?: { readonly kind: Kind; readonly lead: Lead };
}

/** All that one claimed key stands for. `endpoint`: of a map that a packet may be on its way to. */
export function eachElement(set: string, { value, by }: Element, visit: (set: string, value: string, endpoint: boolean) => void): void {
  visit(set, value, false);
  if (by) eachLookup(by.kind, by.lead, visit);
}

interface BaseChain {
  /** Where the kernel enters it; absent for a chain that others lead to. */
  readonly hook?: string;
  readonly rules: readonly string[];
}

/** The chains that do not depend on Services. */
function baseChains(family: Family, config: ProxyConfig): ReadonlyMap<string, BaseChain> {
  const bound = (config.nodePortAddresses ?? []).filter((c) => familyOf(c) === family);
  const nodePortMatch = config.nodePortAddresses?.length ? `${family} daddr { ${bound.length > 0 ? bound.join(', ') : unspecified(family)} } ` : '';
  const loopback = `${family} daddr != ${family === 'ip' ? '127.0.0.0/8' : '::1'} `;
  const marked = `meta mark and ${masqueradeMark} == ${masqueradeMark}`;
  const nat = (hook: string, priority: number): string => `type nat hook ${hook} priority ${String(priority)}; policy accept;`;
  const refusals = (hook: string): [string, BaseChain] => [`filter-${hook}`, { hook: `type filter hook ${hook} priority -10; policy accept;`, rules: ['ct state new jump refusals'] }];
  return new Map<string, BaseChain>([
    // What others lead to comes first.
    ['refuse', { rules: ['meta l4proto tcp reject with tcp reset', 'reject'] }],
    ['services', { rules: [
      `${family} saddr != @pod-cidrs ${family} daddr @service-cidrs ${setMark}`,
      `${matchOf('ips', family)} vmap @service-ips`,
      `${loopback}fib daddr type local ${matchOf('hostports', family)} vmap @service-hostports`,
      `${nodePortMatch || loopback}fib daddr type local ${matchOf('nodeports', family)} vmap @service-nodeports`,
    ] }],
    ['refusals', { rules: [
      `${family} daddr @service-cidrs fib daddr type != local goto refuse`,
      `${matchOf('ips', family)} @refused-ips goto refuse`,
      `${matchOf('ips', family)} @guarded-ips drop`,
      `fib daddr type local ${matchOf('hostports', family)} @refused-hostports goto refuse`,
      `${nodePortMatch}fib daddr type local ${matchOf('nodeports', family)} @refused-nodeports goto refuse`,
    ] }],
    ['prerouting', { hook: nat('prerouting', -100), rules: ['jump services'] }],
    ['output', { hook: nat('output', -100), rules: ['jump services'] }],
    ['postrouting', { hook: nat('postrouting', 100), rules: [
      `${marked} ${family} daddr . ${family} daddr @hairpin meta mark set meta mark xor ${masqueradeMark}`,
      `${marked} meta mark set meta mark xor ${masqueradeMark} masquerade fully-random`,
      `${family} saddr @pod-cidrs ${family} saddr . ${family} daddr @hairpin masquerade fully-random`,
      `${family} saddr @pod-cidrs ${family} daddr != @pod-cidrs masquerade fully-random`,
    ] }],
    ...['input', 'forward', 'output'].map(refusals),
  ]);
}

/** The part of the table that does not depend on Services. */
export function baseRules(family: Family, config: ProxyConfig): string {
  const type = addressType(family);
  const range = (cidrs: readonly string[]): string => {
    const own = cidrs.filter((c) => familyOf(c) === family);
    return `{ type ${type}; flags interval; ${own.length > 0 ? `elements = { ${own.join(', ')} }; ` : ''}}`;
  };
  const sets = [
    `set pod-cidrs ${range(config.podCidrs)}`, `set service-cidrs ${range(config.serviceCidrs)}`,
    `set hairpin { type ${type} . ${type}; }`, `set guarded-ips { type ${keyType('ips', family)}; }`,
    ...kinds.flatMap((kind) => [`set refused-${kind} { type ${keyType(kind, family)}; }`, `map service-${kind} { type ${keyType(kind, family)} : verdict; }`]),
  ];
  const chains = [...baseChains(family, config)].map(([name, { hook, rules }]) => `chain ${name} {\n${[...(hook === undefined ? [] : [hook]), ...rules].map((line) => `    ${line}\n`).join('')}  }`);
  return `table ${family} ${config.tableName} {\n${[...sets, ...chains].map((line) => `  ${line}\n`).join('')}}\n`;
}

/**
 * Rules that can be added only while those of before are all there: for nft to try, not to do. Unlike a listing this
 * does not make nft read every element, which takes seconds where there are thousands of Services.
 */
export function presenceCheck(family: Family, config: ProxyConfig): string {
  return [...baseChains(family, config)].map(([name, { rules }]) => `add rule ${family} ${config.tableName} ${name} index ${String(rules.length - 1)} accept\n`).join('');
}

/** What one service port needs in the table of `family`. */
export function describePort(port: ServicePort, family: Family): Description {
  const own = (ips: readonly string[]): string[] => ips.filter((ip) => familyOf(ip) === family);
  const usable = (backends: readonly Backend[]): Backend[] => backends.filter((b) => familyOf(b.ip) === family);
  const all = usable(port.endpoints);
  const local = usable(port.localEndpoints);
  const result = new DescriptionBuilder(port, family, all, local);
  const clusterIps = own(port.clusterIps);
  // A single-stack Service has no business on the node ports of the other family.
  const nodePort = clusterIps.length + all.length > 0 ? port.nodePort : 0;
  const key = (ip: string): string => `${ip} . ${protocolOf(port)} . ${String(port.port)}`;

  for (const ip of clusterIps) result.internal(key(ip));
  for (const ip of own(port.externalIps)) result.external('ips', key(ip));
  const loadBalancerIps = own(port.loadBalancerIps);
  const sources = port.sourceRanges?.length ? [...own(port.sourceRanges), ...loadBalancerIps] : undefined;
  for (const ip of loadBalancerIps) result.external('ips', key(ip), sources);
  if (nodePort > 0) result.external(port.hostPort ? 'hostports' : 'nodeports', `${protocolOf(port)} . ${String(nodePort)}`);
  for (const backend of new Set([...all, ...local].filter((b) => b.local).map((b) => b.ip))) result.element('hairpin', `${backend} . ${backend}`);
  return result;
}

const plain: Element = { value: '' };

class DescriptionBuilder implements Description {
  readonly chains = new Map<string, readonly string[]>();
  readonly sets = new Map<string, string>();
  readonly elements = new Map<string, Map<string, Element>>();
  readonly #port: ServicePort;
  readonly #family: Family;
  readonly #all: readonly Backend[];
  readonly #local: readonly Backend[];
  readonly #name: string;

  constructor(port: ServicePort, family: Family, all: readonly Backend[], local: readonly Backend[]) {
    this.#port = port;
    this.#family = family;
    this.#all = all;
    this.#local = local;
    this.#name = port.id.replace(':', '/');
  }

  element(set: string, key: string, element: Element = plain): void {
    const elements = this.elements.get(set) ?? new Map<string, Element>();
    this.elements.set(set, elements.set(key, element));
  }

  /** Traffic to a ClusterIP. */
  internal(key: string): void {
    const [list, backends] = this.#port.internalLocal ? ['local' as const, this.#local] : ['all' as const, this.#all];
    if (backends.length === 0) this.element('refused-ips', key);
    else this.#lead('ips', key, isShared(this.#port) ? leadTo('ips', list, backends) : this.#chain(`svc/${this.#name}`, [], backends));
  }

  /** Traffic from outside, of those `sources` alone where they are given: others get no answer. */
  external(kind: Kind, key: string, sources?: readonly string[]): void {
    if (this.#all.length === 0 || (this.#port.externalLocal && this.#local.length === 0)) this.element(`refused-${kind}`, key);
    if (this.#all.length === 0) return;
    const lead = this.#external(kind);
    if (!sources) { this.#lead(kind, key, lead); return; }
    this.chains.set(`fw/${this.#name}`, sources.map((range) => `${this.#family} saddr ${range} goto ${lead.chain}`));
    this.#lead(kind, key, lead, `fw/${this.#name}`);
    this.element('guarded-ips', key);
  }

  #external(kind: Kind): Lead {
    const { externalLocal } = this.#port;
    if (isShared(this.#port)) return externalLocal ? leadToLocal(kind, this.#all, this.#local) : leadTo(kind, 'all', this.#all, true);
    const lead = this.#chain(`all/${this.#name}`, [setMark], this.#all);
    if (!externalLocal) return lead;
    // From within the cluster every endpoint will do; from outside only those here, with the client's address kept.
    return this.#chain(`ext/${this.#name}`, [`${this.#family} saddr @pod-cidrs goto ${lead.chain}`, `fib saddr type local goto ${lead.chain}`], this.#local);
  }

  #lead(kind: Kind, key: string, lead: Lead, by = lead.chain): void {
    this.element(`service-${kind}`, key, { value: `goto ${by}`, ...(isShared(this.#port) && { by: { kind, lead } }) });
  }

  /** A chain of this port's own that runs `before` and then sends to one of `backends`. */
  #chain(chain: string, before: readonly string[], backends: readonly Backend[]): Lead {
    const rules = backends.length === 0 ? [] : this.#port.affinitySeconds > 0 ? this.#sticky(backends) : [pickRule(this.#port, backends, this.#family)];
    this.chains.set(chain, [...before, ...rules]);
    return { chain, lists: [] };
  }

  #sticky(backends: readonly Backend[]): string[] {
    const names = backends.map((b) => `${this.#name}/${b.ip.replaceAll(':', '-')}/${String(b.port)}`);
    for (const [i, backend] of backends.entries()) {
      const name = names[i] ?? '';
      this.sets.set(`aff/${name}`, `{ type ${addressType(this.#family)}; size 65535; flags dynamic,timeout; timeout ${String(this.#port.affinitySeconds)}s; }`);
      this.chains.set(`ep/${name}`, [`update @aff/${name} { ${this.#family} saddr }`, pickRule(this.#port, [backend], this.#family)]);
    }
    const known = names.map((name) => `${this.#family} saddr @aff/${name} goto ep/${name}`);
    return [...known, `numgen random mod ${String(names.length)} vmap { ${names.map((name, i) => `${String(i)} : goto ep/${name}`).join(', ')} }`];
  }
}

function pickRule(port: ServicePort, backends: readonly Backend[], family: Family): string {
  const match = `meta l4proto ${protocolOf(port)}`;
  const [only] = backends;
  if (only && backends.length === 1) return `${match} dnat to ${family === 'ip' ? only.ip : `[${only.ip}]`}:${String(only.port)}`;
  const choices = backends.map((b, i) => `${String(i)} : ${b.ip} . ${String(b.port)}`).join(', ');
  return `${match} dnat ${family} addr . port to numgen random mod ${String(backends.length)} map { ${choices} }`;
}

function unspecified(family: Family): string {
  return family === 'ip' ? '0.0.0.0' : '::';
}

function protocolOf(port: ServicePort): string {
  return port.protocol.toLowerCase();
}
