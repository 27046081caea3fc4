import type { IPBlock, NetworkPolicyPort } from '#api/gen/types.ts';
import { isIPv4, isIPv6 } from '#api/meta/ip.ts';
import type { NamedPort, PeerPod } from '#api/network-policy/peer-group.ts';
import type { LocalPod, Piece } from './types.ts';

/**
 * NetworkPolicies as nftables text, one table for both families:
 *
 *   out4, out6   address of a pod here → chain of its policies about what it sends
 *   in4, in6     the same for what it gets
 *   pods-out/K, pods-in/K    one for each set K of policies that some pod has: each policy in turn, then drop
 *   out/ID, in/ID            one policy: accepts what it allows
 *   group4/G, group6/G       addresses of the pods that a selector stands for
 *   ports4/..., ports6/...   address, protocol and port where a rule names a port
 *
 * What a pod sends is decided in one base chain and what it gets in the next, since accepting ends a base chain only.
 * Packets between a pod and its own host pass neither: https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
export type Direction = 'in' | 'out';
type Family = 4 | 6;

export const families = [4, 6] as const;

export interface RulePeers {
  /** Names of groups. */
  readonly groups: readonly string[];
  readonly blocks: readonly IPBlock[];
}

/** Who may be spoken with, about what; undefined for everybody and everything. */
export interface AllowRule {
  readonly peers: RulePeers | undefined;
  readonly ports: readonly NetworkPolicyPort[] | undefined;
}

/** One policy in one direction, with this host's pods that it selects. */
export interface AllowList {
  readonly direction: Direction;
  /** Short and unique. */
  readonly id: string;
  readonly rules: readonly AllowRule[];
  readonly pods: readonly LocalPod[];
}

/** The part that does not depend on policies. */
export function baseRules(table: string): string {
  const type = (family: Family): string => `ipv${String(family)}_addr`;
  const sets = families.map((family) => `
  map in${String(family)} { type ${type(family)} : verdict; }
  map out${String(family)} { type ${type(family)} : verdict; }
  set self${String(family)} { type ${type(family)} . ${type(family)}; }`).join('');
  const decide = (direction: Direction): string => `
    ct state established,related accept
    ip saddr . ip daddr @self4 accept
    ip6 saddr . ip6 daddr @self6 accept
    ip ${addressOf(direction)} vmap @${direction}4
    ip6 ${addressOf(direction)} vmap @${direction}6
  }`;
  // A balancer in the kernel (ipvs) sends what came from elsewhere like something of the host's own.
  return `table inet ${table} {${sets}
  chain forward-out {
    type filter hook forward priority -6; policy accept;${decide('out')}
  chain forward-in {
    type filter hook forward priority -5; policy accept;${decide('in')}
  chain output-out {
    type filter hook output priority -6; policy accept;
    fib saddr type local accept${decide('out')}
  chain output-in {
    type filter hook output priority -5; policy accept;
    fib saddr type local accept${decide('in')}
}
`;
}

/** The pod itself, as seen from a base chain. */
function addressOf(direction: Direction): 'saddr' | 'daddr' {
  return direction === 'in' ? 'daddr' : 'saddr';
}

/** The chain of one policy. */
export function allowPiece({ direction, id, rules, pods }: AllowList): Piece {
  const chain: string[] = [];
  const sets = new Map<string, string>();
  const elements = new Map<string, ReadonlySet<string>>();
  for (const [index, { peers, ports }] of rules.entries()) {
    for (const port of ports ?? [undefined]) {
      for (const peer of peers === undefined ? [everybody] : peersOf(peers, direction)) {
        if (typeof port?.port !== 'string') chain.push(`${peer.match}${portMatch(port)}accept`);
        else if (direction === 'out') chain.push(...(peer.namedPort?.(port.port, port.protocol ?? 'TCP') ?? []));
        else {
          for (const family of peer.families) {
            const set = `ports${String(family)}/${id}/${String(index)}/${port.port}`;
            sets.set(set, portSet(family));
            elements.set(set, new Set(pods.flatMap((pod) => endpoints(pod, family, port.port as string))));
            chain.push(`${peer.match}meta l4proto ${protocolOf(port)} ${ipWord(family)} daddr . meta l4proto . th dport @${set} accept`);
          }
        }
      }
    }
  }
  return { chains: new Map([[`${direction}/${id}`, chain]]), sets, elements };
}

interface PeerMatch {
  /** With a space at the end, or empty. */
  readonly match: string;
  readonly families: readonly Family[];
  /** Rules for a port that each of the peers may call another number; none for addresses that are no pods'. */
  readonly namedPort?: (name: string, protocol: string) => string[];
}

const everybody: PeerMatch = { match: '', families };

function peersOf({ groups, blocks }: RulePeers, direction: Direction): PeerMatch[] {
  const other = direction === 'in' ? 'saddr' : 'daddr';
  const ofGroups = groups.flatMap((group) => families.map((family): PeerMatch => ({
    match: `${ipWord(family)} ${other} @group${String(family)}/${group} `, families: [family],
    namedPort: (name, protocol) => [`meta l4proto ${protocol.toLowerCase()} ${ipWord(family)} daddr . meta l4proto . th dport @ports${String(family)}/${group}/${name} accept`],
  })));
  return [...ofGroups, ...blocks.map(({ cidr, except = [] }): PeerMatch => {
    const family = cidr.includes(':') ? 6 : 4;
    const side = `${ipWord(family)} ${other}`;
    const all = cidr.endsWith('/0') ? `meta nfproto ipv${String(family)} ` : `${side} ${cidr} `;
    return { match: `${all}${except.map((range) => `${side} != ${range} `).join('')}`, families: [family] };
  })];
}

function portMatch(port: NetworkPolicyPort | undefined): string {
  if (port === undefined) return '';
  if (port.port === undefined) return `meta l4proto ${protocolOf(port)} `;
  return `meta l4proto ${protocolOf(port)} th dport ${String(port.port)}${port.endPort === undefined || port.endPort === port.port ? '' : `-${String(port.endPort)}`} `;
}

function protocolOf({ protocol = 'TCP' }: NetworkPolicyPort): string {
  return protocol.toLowerCase();
}

/** The addresses of a group; `named`: ports that rules about outgoing traffic call by name. */
export function groupPiece(group: string, pods: readonly PeerPod[], named: Iterable<string>): Piece {
  const sets = new Map<string, string>();
  const elements = new Map<string, ReadonlySet<string>>();
  const names = [...named];
  for (const family of families) {
    const set = `group${String(family)}/${group}`;
    sets.set(set, `{ type ipv${String(family)}_addr; }`);
    elements.set(set, new Set(pods.flatMap(({ ips }) => ips.filter((ip) => isOf(ip, family)))));
    for (const name of names) {
      const ports = `ports${String(family)}/${group}/${name}`;
      sets.set(ports, portSet(family));
      elements.set(ports, new Set(pods.flatMap((pod) => endpoints(pod, family, name))));
    }
  }
  return { chains: new Map(), sets, elements };
}

/** The chain of pods that have these policies; without any they are left alone with what is established. */
export function isolationPiece(direction: Direction, key: string, ids: readonly string[]): Piece {
  return { chains: new Map([[`pods-${direction}/${key}`, [...ids.map((id) => `jump ${direction}/${id}`), 'drop']]]), sets: new Map(), elements: new Map() };
}

/** Leads packets to the chains: by address, the key of the set of policies for each direction in which the pod is isolated. */
export function addressPiece(pods: ReadonlyMap<string, { readonly in?: string; readonly out?: string }>): Piece {
  const elements = new Map<string, Set<string>>();
  const add = (set: string, element: string): void => { elements.set(set, (elements.get(set) ?? new Set()).add(element)); };
  for (const [ip, keys] of pods) {
    const family = families.find((one) => isOf(ip, one));
    if (family === undefined) continue;
    for (const direction of ['in', 'out'] as const) if (keys[direction] !== undefined) add(`${direction}${String(family)}`, `${ip} : goto pods-${direction}/${keys[direction]}`);
    // A pod may always reach itself, also by way of a Service.
    add(`self${String(family)}`, `${ip} . ${ip}`);
  }
  return { chains: new Map(), sets: new Map(), elements };
}

function endpoints({ ips, ports = [] }: { readonly ips: readonly string[]; readonly ports?: readonly NamedPort[] }, family: Family, name: string): string[] {
  return ports.filter((port) => port.name === name).flatMap(({ protocol, port }) => ips.filter((ip) => isOf(ip, family)).map((ip) => `${ip} . ${protocol.toLowerCase()} . ${String(port)}`));
}

function portSet(family: Family): string {
  return `{ type ipv${String(family)}_addr . inet_proto . inet_service; }`;
}

function ipWord(family: Family): string {
  return family === 4 ? 'ip' : 'ip6';
}

/** What is no address is of neither family: other hosts write those of groups, and all of it ends up in a script. */
function isOf(ip: string, family: Family): boolean {
  return family === 4 ? isIPv4(ip) : isIPv6(ip);
}
