import { isIP } from 'node:net';
import type { NetworkInterfaceInfo } from 'node:os';
import type { Node } from '#api/gen/types.ts';
import { canonicalCidr, isCIDR } from '#api/meta/ip.ts';
import { isRecord } from '#api/meta/json.ts';
import { networkAnnotation, seenAtAnnotation } from '#api/network/annotations.ts';
import { isOwnLink } from '#common/host-address.ts';
import { rangesOverlap } from '#common/host-settings.ts';
import { networkModes, type HostFacts, type Member, type NetworkMode, type WireguardFacts } from './types.ts';

export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

/** A node's pod ranges; what is not a range is left out. */
export function podCidrsOf(node: Node | undefined): string[] {
  const cidrs = node?.spec?.podCIDRs ?? (node?.spec?.podCIDR === undefined ? [] : [node.spec.podCIDR]);
  return cidrs.filter(isCIDR).map(canonicalCidr);
}

/** What the Node says; facts that cannot be read count as not told. */
export function memberOf(node: Node): Member {
  const { name = '', annotations = {} } = node.metadata ?? {};
  const facts = parseFacts(annotations[networkAnnotation]);
  const seenAt = annotations[seenAtAnnotation];
  return {
    nodeName: name, podCidrs: podCidrsOf(node),
    addresses: (node.status?.addresses ?? []).filter((a) => a.type === 'InternalIP' && isIP(a.address) > 0).map((a) => a.address),
    ...(facts && { facts }), ...(seenAt !== undefined && isIP(seenAt) > 0 && { seenAt }),
  };
}

/** Other hosts write this: everything in it ends up in commands, so everything is checked. */
export function parseFacts(text: string | undefined): HostFacts | undefined {
  if (text === undefined || text.length > 4096) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const mode = networkModes.find((known) => known === value['mode']) ?? 'auto';
  const links = (Array.isArray(value['links']) ? value['links'] : []).filter((link): link is string => typeof link === 'string' && isCIDR(link));
  const linkLocal = value['linkLocal'];
  const wireguard = wireguardFrom(value['wireguard']);
  return { mode, links, ...(typeof linkLocal === 'string' && isIP(linkLocal) === 6 && isLinkLocal(linkLocal) && { linkLocal }), ...(wireguard !== undefined && { wireguard }) };
}

function wireguardFrom(value: unknown): WireguardFacts | null | undefined {
  if (value === null) return null;
  if (!isRecord(value)) return undefined;
  const { key, port } = value;
  if (typeof key !== 'string' || !/^[A-Za-z0-9+/]{43}=$/.test(key) || typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) return undefined;
  return { key, port };
}

/** What this host tells of itself. Addresses of links that containers or we make are nobody's business. */
export function ownFacts(mode: NetworkMode, addresses: readonly string[], interfaces: Interfaces, wireguard: WireguardFacts | null | undefined): HostFacts {
  const own = Object.entries(interfaces).filter(([name]) => isOwnLink(name)).flatMap(([, list]) => list ?? []).filter((a) => !a.internal);
  const links = own.filter((a) => !isLinkLocal(a.address)).map((a) => a.cidr).filter((cidr) => cidr !== null).sort();
  const device = deviceOf(addresses[0], interfaces);
  const linkLocal = device === undefined ? undefined : interfaces[device]?.find((a) => a.family === 'IPv6' && isLinkLocal(a.address))?.address;
  return { mode, links, ...(linkLocal !== undefined && { linkLocal }), ...(wireguard !== undefined && { wireguard }) };
}

/** Networks of this host that have addresses in common with the cluster's `ranges`, in words: hosts there and pods or Services cannot be told apart. */
export function overlaps(interfaces: Interfaces, ranges: readonly string[]): string[] {
  const links = Object.entries(interfaces).filter(([name]) => isOwnLink(name)).flatMap(([name, list]) => (list ?? []).filter((a) => !a.internal && !isLinkLocal(a.address)).flatMap(({ cidr }) => (cidr === null ? [] : [{ name, cidr }])));
  return links.flatMap(({ name, cidr }) => ranges.filter((range) => rangesOverlap(cidr, range)).map((range) => `${cidr} (${name}) and ${range}`));
}

/** The interface that has the address. */
export function deviceOf(address: string | undefined, interfaces: Interfaces): string | undefined {
  return address === undefined ? undefined : Object.entries(interfaces).find(([, list]) => list?.some((a) => a.address === address))?.[0];
}

function isLinkLocal(address: string): boolean {
  return address.startsWith('169.254.') || /^fe[89ab]/i.test(address);
}
