import { hash } from 'node:crypto';
import type { Chains, Jump } from '#agent/proxy/iptables/layout.ts';
import type { NamedLayout } from '#agent/proxy/iptables/own-chains.ts';
import type { Family, Rule, Ruleset } from './types.ts';

/**
 * Network policies as chains of iptables' mangle table and sets of ipset. There a packet is seen before other programs' filter
 * rules can accept it, and who returns from there is still theirs to judge:
 *
 *   FORWARD, OUTPUT → OUT (pod that sends → PO-K) → IN (pod that gets → PI-K)
 *   PO-K, PI-K   returns what one of the policies allows, and drops the rest
 *
 * iptables has no verdict but `ACCEPT` that leaves a chain of policies for good, and that would keep the packet from the chains
 * of others; so what policies allow is written into each chain that is made of them.
 */
export const policyJumps: readonly Jump[] = ['FORWARD', 'OUTPUT'].map((chain): Jump => ['mangle', chain, '', chain]);
/** Their rules exclude each other. */
export const unorderedChains: ReadonlySet<string> = new Set(['OUT', 'IN']);

export interface IptablesNames extends NamedLayout {
  /** The full name of a set for what it is about. */
  readonly set: (family: Family, about: string) => string;
}

export interface IpSet {
  readonly type: 'hash:ip' | 'hash:ip,port' | 'hash:net';
  readonly members: ReadonlySet<string>;
}

export interface Translation {
  readonly mangle: Chains;
  /** By full name. */
  readonly sets: ReadonlyMap<string, IpSet>;
}

const established = '-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN';

export function translate(rules: Ruleset, family: Family, names: IptablesNames): Translation {
  const decide = [established, `-j ${names.chain('OUT')}`, `-j ${names.chain('IN')}`];
  const [out, into]: [string[], string[]] = [[], []];
  // A balancer in the kernel (ipvs) sends what came from elsewhere like something of the host's own.
  const mangle = new Map<string, readonly string[]>([['FORWARD', decide], ['OUTPUT', ['-m addrtype --src-type LOCAL -j RETURN', ...decide]], ['OUT', out], ['IN', into]]);
  const all = new Map([...rules.values()].flatMap(({ chains }) => [...chains]));
  const sets = new Map<string, IpSet>();
  for (const { sets: own, elements } of rules.values()) {
    for (const [name, type] of own) {
      if (type.family === family) sets.set(names.set(family, name), { type: type.of === 'addresses' ? 'hash:ip' : 'hash:ip,port', members: new Set([...elements.get(name) ?? []].map(memberOf)) });
    }
  }
  for (const { elements } of rules.values()) {
    for (const [set, list, side, other] of [['out', out, '-s', '-d'], ['in', into, '-d', '-s']] as const) {
      for (const element of elements.get(`${set}${String(family)}`) ?? []) {
        const [ip = '', chain = ''] = element.split(' : goto ');
        const name = names.own(set === 'out' ? 'PO' : 'PI', chain);
        // A pod may always reach itself, also by way of a Service.
        list.push(`${side} ${ip} ! ${other} ${ip} -j ${names.chain(name)}`);
        if (!mangle.has(name)) mangle.set(name, flatten(chain, all).flatMap((rule) => ruleLines(rule, family, names, sets)));
      }
    }
  }
  return { mangle, sets };
}

function flatten(chain: string, all: ReadonlyMap<string, readonly Rule[]>): Rule[] {
  return (all.get(chain) ?? []).flatMap((rule) => (typeof rule.verdict === 'string' ? [rule] : flatten(rule.verdict.jump, all)));
}

/** One rule or none, and into `sets` what it needs. */
function ruleLines(rule: Rule, family: Family, names: IptablesNames, sets: Map<string, IpSet>): string[] {
  if (rule.family !== undefined && rule.family !== family) return [];
  const { peer, protocol, ports, endpoints, verdict } = rule;
  return [[
    ...(peer ? peerMatch(peer, family, names, sets) : []),
    ...(protocol === undefined ? [] : [`-p ${protocol}`]),
    ...(ports && protocol !== undefined ? [`-m ${protocol} --dport ${String(ports.from)}${ports.to === ports.from ? '' : `:${String(ports.to)}`}`] : []),
    ...(endpoints === undefined ? [] : [`-m set --match-set ${names.set(family, endpoints)} dst,dst`]),
    `-j ${verdict === 'drop' ? 'DROP' : 'RETURN'}`,
  ].join(' ')];
}

function peerMatch(peer: NonNullable<Rule['peer']>, family: Family, names: IptablesNames, sets: Map<string, IpSet>): string[] {
  const direction = peer.side === 'source' ? 'src' : 'dst';
  if ('set' in peer) return [`-m set --match-set ${names.set(family, peer.set)} ${direction}`];
  const { cidr, except = [] } = peer.block;
  if (except.length === 0) return cidr.endsWith('/0') ? [] : [`-${direction.slice(0, 1)} ${cidr}`];
  const name = names.set(family, `block ${cidr} ${except.join(' ')}`);
  sets.set(name, { type: 'hash:net', members: new Set([...halves(cidr, family), ...except.flatMap((range) => halves(range, family)).map((range) => `${range} nomatch`)]) });
  return [`-m set --match-set ${name} ${direction}`];
}

/** ipset has no range of length zero. */
function halves(cidr: string, family: Family): string[] {
  if (!cidr.endsWith('/0')) return [cidr];
  return family === 4 ? ['0.0.0.0/1', '128.0.0.0/1'] : ['::/1', '8000::/1'];
}

/** `ADDRESS . PROTOCOL . PORT` as ipset says it. */
function memberOf(element: string): string {
  const [ip = '', protocol, port = ''] = element.split(' . ');
  return protocol === undefined ? ip : `${ip},${protocol}:${port}`;
}

/** Within the 31 letters that ipset takes, with two to spare. */
export function setNameOf(prefix: string, family: Family, about: string): string {
  return `${setPrefix(prefix, family)}${hash('sha256', about, 'hex').slice(0, 18)}`;
}

export function setPrefix(prefix: string, family: Family): string {
  return `${prefix.toLowerCase()}${String(family)}-`;
}
