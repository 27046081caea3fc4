import { hash } from 'node:crypto';
import type { LabelSelector, NetworkPolicy, NetworkPolicyPeer, ObjectMeta } from '../gen/types.ts';
import type { Resource } from '../kinds/resources.ts';
import { formatLabelSelector, requirementsOf } from '../meta/selectors.ts';

/**
 * What a NetworkPolicy's selectors stand for, worked out by the control plane: pods of one host that are peers of some
 * rule. Known only between control plane and agents. Together the slices of all hosts with one `group` are the peers.
 */
export interface PeerGroupSlice {
  readonly metadata?: ObjectMeta | undefined;
  readonly group: string;
  readonly node: string;
  readonly pods: readonly PeerPod[];
}

export interface PeerPod {
  readonly uid: string;
  readonly ips: readonly string[];
  /** Named ports of its containers, which rules about outgoing traffic may speak of. */
  readonly ports?: readonly NamedPort[];
}

export interface NamedPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
}

export const peerGroupSlices: Resource<PeerGroupSlice> = { group: 'edge.cleat.dev', version: 'v1', plural: 'peergroupslices', kind: 'PeerGroupSlice', namespaced: false };

/** All pods of the cluster: whom a rule means that names a port but nobody. */
export const everyPod: NetworkPolicyPeer = { namespaceSelector: {} };

/** Pods that a peer of a policy in `namespace` selects. Peers that select the same have the same name; undefined for a block of addresses. */
export function groupNameOf(peer: NetworkPolicyPeer, namespace: string): string | undefined {
  if (peer.podSelector === undefined && peer.namespaceSelector === undefined) return undefined;
  const scope = peer.namespaceSelector === undefined ? `in ${namespace}` : `where ${canonical(peer.namespaceSelector)}`;
  // Whoever may write policies may choose the text: it must be hard to find another of the same name.
  return hash('sha256', `${scope} pods ${canonical(peer.podSelector ?? {})}`, 'hex').slice(0, 32);
}

/** All peers of a policy that stand for pods, by the names of their groups. */
export function groupsOf({ metadata, spec }: NetworkPolicy): Map<string, NetworkPolicyPeer> {
  const found = new Map<string, NetworkPolicyPeer>();
  const add = (peer: NetworkPolicyPeer): void => {
    const name = groupNameOf(peer, metadata?.namespace ?? '');
    if (name !== undefined) found.set(name, peer);
  };
  if (appliesTo({ spec }, 'Ingress')) for (const { from = [] } of spec?.ingress ?? []) from.forEach(add);
  if (!appliesTo({ spec }, 'Egress')) return found;
  for (const { to = [], ports = [] } of spec?.egress ?? []) {
    to.forEach(add);
    if (to.length === 0 && ports.some(({ port }) => typeof port === 'string')) add(everyPod);
  }
  return found;
}

/** Without policyTypes a policy is about incoming traffic, and about outgoing traffic if it has rules for that. */
export function appliesTo({ spec }: NetworkPolicy, direction: 'Ingress' | 'Egress'): boolean {
  const types = spec?.policyTypes ?? [];
  return types.length > 0 ? types.includes(direction) : direction === 'Ingress' || (spec?.egress ?? []).length > 0;
}

function canonical(selector: LabelSelector): string {
  return requirementsOf(selector).map(({ key, operator, values }) => formatLabelSelector([{ key, operator, values: [...values].sort() }])).sort().join(',');
}
