import { isIP } from 'node:net';
import type { Node } from '#api/gen/types.ts';
import type { Peer, Route } from './types.ts';

/** The other nodes with their pod ranges and the addresses to send to; a node that lacks either is left out. */
export function peersOf(nodes: readonly Node[], ownName: string): Peer[] {
  return nodes.flatMap((node): Peer[] => {
    const nodeName = node.metadata?.name ?? '';
    const addresses = (node.status?.addresses ?? []).filter((a) => a.type === 'InternalIP' && isIP(a.address) > 0).map((a) => a.address);
    if (nodeName === ownName) return [];
    return addresses.flatMap((address) => {
      const podCidrs = podCidrsOf(node).filter((cidr) => cidr.includes(':') === address.includes(':'));
      return podCidrs.length > 0 ? [{ nodeName, podCidrs, address }] : [];
    });
  });
}

/** A node's pod ranges; what is not a range is left out. */
export function podCidrsOf(node: Node | undefined): string[] {
  const cidrs = node?.spec?.podCIDRs ?? (node?.spec?.podCIDR === undefined ? [] : [node.spec.podCIDR]);
  return cidrs.filter(isCidr);
}

function isCidr(cidr: string): boolean {
  const [address = '', bits = '', ...rest] = cidr.split('/');
  const family = isIP(address);
  return family > 0 && rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128);
}

/** A peer that has one of this host's own addresses (two agents side by side) needs no route. One range, one peer: the first name wins. */
export function peerRoutes(peers: readonly Peer[], ownAddresses: ReadonlySet<string>): Route[] {
  const routes = new Map<string, Route>();
  for (const peer of [...peers].sort((a, b) => (a.nodeName < b.nodeName ? -1 : 1))) {
    if (ownAddresses.has(peer.address)) continue;
    for (const destination of peer.podCidrs) if (!routes.has(destination)) routes.set(destination, { destination, via: peer.address });
  }
  return [...routes.values()];
}

/** Reads `ip -j route show`; entries of another shape are skipped. A single address comes without its length. */
export function parseRoutes(json: string): Route[] {
  if (json.trim() === '') return [];
  const entries = JSON.parse(json) as { dst?: unknown; gateway?: unknown; dev?: unknown; flags?: unknown }[];
  return entries.flatMap(({ dst, gateway, dev }) => {
    if (typeof dst !== 'string') return [];
    const destination = dst.includes('/') || dst === 'default' ? dst : `${dst}/${dst.includes(':') ? '128' : '32'}`;
    return [{ destination, ...(typeof gateway === 'string' && { via: gateway }), ...(typeof dev === 'string' && { device: dev }) }];
  });
}

/** `ip -batch` lines that lead from `actual` (our routes only) to `desired`; empty when nothing is to do. */
export function routeCommands(desired: readonly Route[], actual: readonly Route[], protocol: number): string[] {
  const matches = (want: Route, have: Route): boolean =>
    want.destination === have.destination && want.via === have.via && (want.device === undefined || want.device === have.device);
  const missing = desired.filter((want) => !actual.some((have) => matches(want, have)));
  const stale = actual.filter((have) => !desired.some((want) => want.destination === have.destination));
  return [
    ...stale.map((r) => `route del ${r.destination} proto ${String(protocol)}`),
    ...missing.map((r) => `route replace ${r.destination}${r.via === undefined ? '' : ` via ${r.via}`}${r.device === undefined ? '' : ` dev ${r.device}`} proto ${String(protocol)}`),
  ];
}
