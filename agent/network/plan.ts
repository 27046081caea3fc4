import { createHash } from 'node:crypto';
import { isIPv6 } from 'node:net';
import { ipToBigInt } from '#api/meta/ip.ts';
import type { Member, NetworkMode, PeerPlan } from './types.ts';

/** What the plans need beside the members: whom the control plane's host is to others. */
export interface PlanConfig {
  /** As the agents dial it; the node beside the control plane may be reached there from outside of its own network. */
  readonly serverHost?: string;
}

type Choice = Omit<PeerPlan, 'nodeName' | 'podCidrs'>;

/**
 * How `own` reaches each of `others`. Both ends of a pair come to the same answer, for both work from the same Nodes.
 * One range, one peer: where two nodes claim the same, the first name wins.
 */
export function planPeers(own: Member, others: readonly Member[], config: PlanConfig = {}): PeerPlan[] {
  // A node that has just joined: what links it shares will be known in a moment.
  if (own.addresses.length === 0) return [];
  const sorted = others.filter((m) => m.nodeName !== own.nodeName && m.podCidrs.length > 0 && m.addresses.length > 0).sort((a, b) => (a.nodeName < b.nodeName ? -1 : 1));
  const claimed = new Set(own.podCidrs);
  const hub = relayOf([own, ...sorted]);
  return sorted.flatMap((peer): PeerPlan[] => {
    const podCidrs = peer.podCidrs.filter((cidr) => !claimed.has(cidr) && own.podCidrs.some((o) => o.includes(':') === cidr.includes(':')));
    for (const cidr of podCidrs) claimed.add(cidr);
    if (podCidrs.length === 0) return [];
    const ranged = { ...peer, podCidrs };
    return [{ nodeName: peer.nodeName, podCidrs, ...choose(own, ranged, hub, config) }];
  });
}

const strictness: readonly NetworkMode[] = ['auto', 'routes', 'vxlan', 'wireguard'];

function choose(own: Member, peer: Member, hub: Member | undefined, config: PlanConfig): Choice {
  if (peer.addresses.some((address) => own.addresses.includes(address))) return none('it has the same address as this host');
  const wish = [own.facts?.mode ?? 'auto', peer.facts?.mode ?? 'auto'].sort((a, b) => strictness.indexOf(b) - strictness.indexOf(a))[0] ?? 'auto';
  const link = onLink(own, peer);
  if (wish === 'routes') return typeof link === 'string' ? none(`${link}, and a host of the two is set to routes only`) : link;
  if (wish === 'vxlan') return vxlan(own, peer, 'asked for');
  if (wish === 'wireguard') return wireguard(own, peer, hub, config, 'asked for');
  if (typeof link !== 'string') return link;
  if (peer.facts === undefined) return none(`${link}, and the agent of ${peer.nodeName} has not yet said what it can do`);
  const secured = wireguard(own, peer, hub, config, link);
  if (secured.how !== 'none' || !hasNone(own, peer)) return secured;
  return vxlan(own, peer, link);
}

/** One of them has said that there is no WireGuard. */
function hasNone(own: Member, peer: Member): boolean {
  return own.facts?.wireguard === null || peer.facts?.wireguard === null;
}

function none(why: string): Choice {
  return { how: 'none', why, via: [] };
}

/** Plain routes, or why they cannot be. */
function onLink(own: Member, peer: Member): Choice | string {
  const [ownNat, peerNat] = [natOf(own), natOf(peer)];
  if (ownNat !== peerNat) return peerNat === undefined ? 'this host stands behind NAT' : `${peer.nodeName} stands behind NAT`;
  const peerLinks = peer.facts?.links;
  const shared = peer.addresses.filter((address) => contains(own.facts?.links ?? [], address));
  const back = peerLinks === undefined || own.addresses.some((address) => contains(peerLinks, address));
  if (shared.length === 0 || !back) return 'no shared link';
  const via: string[] = [];
  for (const cidr of peer.podCidrs) {
    const v6 = cidr.includes(':');
    const address = shared.find((a) => isIPv6(a) === v6) ?? (v6 ? peer.facts?.linkLocal : undefined);
    if (address === undefined) return `no ${v6 ? 'IPv6' : 'IPv4'} address of ${peer.nodeName} on the shared link`;
    via.push(address);
  }
  return { how: 'routes', why: 'on the same link', via };
}

function vxlan(own: Member, peer: Member, why: string): Choice {
  if (natOf(own) !== natOf(peer)) return none(`${why}: VXLAN does not pass NAT, and WireGuard is missing on a host of the two`);
  const remote = commonAddress(own, peer);
  return remote === undefined ? none(`${why}: the hosts have no addresses of one family`) : { how: 'vxlan', why, via: [remote] };
}

function wireguard(own: Member, peer: Member, hub: Member | undefined, config: PlanConfig, why: string): Choice {
  const [mine, theirs] = [own.facts?.wireguard, peer.facts?.wireguard];
  if (mine === null) return none(`${why}: this host has no WireGuard`);
  if (mine === undefined) return { ...none(`${why}: finding out whether this host has WireGuard`), undecided: true };
  if (theirs === undefined) return { ...none(`${why}: ${peer.nodeName} has not yet said whether it has WireGuard`), undecided: true };
  if (theirs === null) return none(`${why}: ${peer.nodeName} has no WireGuard`);
  const [ownNat, peerNat] = [natOf(own), natOf(peer)];
  if (ownNat !== undefined && peerNat !== undefined && ownNat !== peerNat) {
    if (hub?.facts?.wireguard) return { how: 'relay', why: `${why}; both stand behind NAT`, via: [], key: theirs.key, relay: hub.nodeName };
    return none('both hosts stand behind NAT, and no host that both can reach has WireGuard');
  }
  // Whoever stands behind NAT calls; where it does so from is learned from its handshake.
  const reachable = peerNat === undefined || peerNat === ownNat;
  const address = beside(peer) && ownNat !== undefined && config.serverHost !== undefined ? config.serverHost : commonAddress(own, peer);
  const endpoint = reachable && address !== undefined ? `${address.includes(':') ? `[${address}]` : address}:${String(theirs.port)}` : undefined;
  return { how: 'wireguard', why, via: [], key: theirs.key, ...(endpoint !== undefined && { endpoint }) };
}

/** The public address of the NAT that a host stands behind; undefined where it stands behind none. */
export function natOf(member: Member): string | undefined {
  const { seenAt, addresses, facts } = member;
  if (seenAt === undefined || beside(member)) return undefined;
  const own = [...addresses, ...(facts?.links ?? []).map((cidr) => cidr.split('/')[0] ?? '')];
  return own.some((address) => sameAddress(address, seenAt)) ? undefined : seenAt;
}

/** On the control plane's own host. */
function beside({ seenAt }: Member): boolean {
  return seenAt !== undefined && (seenAt === '::1' || seenAt.startsWith('127.'));
}

/** Who hands packets on between hosts that cannot reach each other: the control plane's host, else the first that stands behind no NAT. */
function relayOf(members: readonly Member[]): Member | undefined {
  const able = members.filter((m) => m.facts?.wireguard && natOf(m) === undefined).sort((a, b) => (a.nodeName < b.nodeName ? -1 : 1));
  return able.find(beside) ?? able[0];
}

/** The peer's address of a family that both have; IPv4 first. */
function commonAddress(own: Member, peer: Member): string | undefined {
  for (const v6 of [false, true]) {
    const address = own.addresses.some((a) => isIPv6(a) === v6) ? peer.addresses.find((a) => isIPv6(a) === v6) : undefined;
    if (address !== undefined) return address;
  }
  return undefined;
}

function sameAddress(a: string, b: string): boolean {
  return a === b || (isIPv6(a) && isIPv6(b) && ipToBigInt(a) === ipToBigInt(b));
}

export function contains(links: readonly string[], address: string): boolean {
  const v6 = isIPv6(address);
  const value = ipToBigInt(address);
  return links.some((cidr) => {
    const [network = '', bits = ''] = cidr.split('/');
    if (isIPv6(network) !== v6) return false;
    const shift = BigInt((v6 ? 128 : 32) - Number(bits));
    return ipToBigInt(network) >> shift === value >> shift;
  });
}

/** The first address of a pod range: no pod gets it, so it stands for the host on the pods' network. */
export function baseOf(podCidr: string): string {
  return podCidr.split('/')[0] ?? '';
}

/** Each host's end of a VXLAN tunnel has an Ethernet address that all others can work out from its name. */
export function vxlanMac(nodeName: string): string {
  const hash = createHash('sha256').update(`cleat vxlan ${nodeName}`).digest();
  return ['02', ...[...hash.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, '0'))].join(':');
}
