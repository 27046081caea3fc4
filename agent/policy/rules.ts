import type { IPBlock, NetworkPolicyPort } from '#api/gen/types.ts';
import { isIPv4, isIPv6 } from '#api/meta/ip.ts';
import type { NamedPort, PeerPod } from '#api/network-policy/peer-group.ts';
import type { Family, LocalPod, Piece, Rule, SetType } from './types.ts';

/**
 * NetworkPolicies as chains and sets, which nftables.ts and iptables.ts write in their own way:
 *
 *   out4, out6   address of a pod here → chain of its policies about what it sends
 *   in4, in6     the same for what it gets
 *   self4, self6             each pod's address twice: what it sends to itself
 *   pods-out/K, pods-in/K    one for each set K of policies that some pod has: each policy in turn, then drop
 *   out/ID, in/ID            one policy: accepts what it allows
 *   group4/G, group6/G       addresses of the pods that a selector stands for
 *   ports4/..., ports6/...   address, protocol and port where a rule names a port
 *
 * What a pod sends is decided before what another gets. Packets between a pod and its own host are not looked at:
 * https://kubernetes.io/docs/concepts/services-networking/network-policies/
 */
export type Direction = 'in' | 'out';

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

/** The chain of one policy. */
export function allowPiece({ direction, id, rules, pods }: AllowList): Piece {
  const chain: Rule[] = [];
  const sets = new Map<string, SetType>();
  const elements = new Map<string, ReadonlySet<string>>();
  for (const [index, { peers, ports }] of rules.entries()) {
    for (const port of ports ?? [undefined]) {
      for (const { group, families: own, ...peer } of peers === undefined ? [everybody] : peersOf(peers, direction)) {
        const about = { ...(port && { protocol: protocolOf(port) }), verdict: 'accept' as const };
        if (typeof port?.port === 'string' && direction === 'out') {
          // Each of the peers may call another number so; addresses that are no pods' have no names for ports.
          if (group !== undefined) for (const family of own) chain.push({ family, ...about, endpoints: `ports${String(family)}/${group}/${port.port}` });
        } else if (typeof port?.port === 'string') {
          for (const family of own) {
            const set = `ports${String(family)}/${id}/${String(index)}/${port.port}`;
            sets.set(set, { family, of: 'endpoints' });
            elements.set(set, new Set(pods.flatMap((pod) => endpoints(pod, family, port.port as string))));
            chain.push({ ...peer, family, ...about, endpoints: set });
          }
        } else chain.push({ ...peer, ...about, ...(port?.port !== undefined && { ports: { from: port.port, to: port.endPort ?? port.port } }) });
      }
    }
  }
  return { chains: new Map([[`${direction}/${id}`, chain]]), sets, elements };
}

/** How to recognize some peers. */
interface PeerMatch extends Pick<Rule, 'family' | 'peer'> {
  readonly families: readonly Family[];
  readonly group?: string;
}

const everybody: PeerMatch = { families };

function peersOf({ groups, blocks }: RulePeers, direction: Direction): PeerMatch[] {
  const side = direction === 'in' ? 'source' : 'destination';
  const ofGroups = groups.flatMap((group) => families.map((family): PeerMatch => ({ family, families: [family], group, peer: { side, set: `group${String(family)}/${group}` } })));
  return [...ofGroups, ...blocks.map((block): PeerMatch => {
    const family = block.cidr.includes(':') ? 6 : 4;
    return { family, families: [family], peer: { side, block } };
  })];
}

function protocolOf({ protocol = 'TCP' }: NetworkPolicyPort): string {
  return protocol.toLowerCase();
}

/** The addresses of a group; `named`: ports that rules about outgoing traffic call by name. */
export function groupPiece(group: string, pods: readonly PeerPod[], named: Iterable<string>): Piece {
  const sets = new Map<string, SetType>();
  const elements = new Map<string, ReadonlySet<string>>();
  const names = [...named];
  for (const family of families) {
    const set = `group${String(family)}/${group}`;
    sets.set(set, { family, of: 'addresses' });
    elements.set(set, new Set(pods.flatMap(({ ips }) => ips.filter((ip) => isOf(ip, family)))));
    for (const name of names) {
      const ports = `ports${String(family)}/${group}/${name}`;
      sets.set(ports, { family, of: 'endpoints' });
      elements.set(ports, new Set(pods.flatMap((pod) => endpoints(pod, family, name))));
    }
  }
  return { chains: new Map(), sets, elements };
}

/** The chain of pods that have these policies; without any they are left alone with what is established. */
export function isolationPiece(direction: Direction, key: string, ids: readonly string[]): Piece {
  return { chains: new Map([[`pods-${direction}/${key}`, [...ids.map((id): Rule => ({ verdict: { jump: `${direction}/${id}` } })), { verdict: 'drop' }]]]), sets: new Map(), elements: new Map() };
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

/** What is no address is of neither family: other hosts write those of groups, and all of it ends up in a script. */
function isOf(ip: string, family: Family): boolean {
  return family === 4 ? isIPv4(ip) : isIPv6(ip);
}
