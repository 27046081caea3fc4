import { hash } from 'node:crypto';
import type { NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyIngressRule, NetworkPolicyPeer } from '#api/gen/types.ts';
import { keyOf } from '#api/meta/object.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { appliesTo, everyPod, groupNameOf, type PeerGroupSlice, type PeerPod } from '#api/network-policy/peer-group.ts';
import { addressPiece, allowPiece, groupPiece, isolationPiece, type AllowRule, type Direction } from './rules.ts';
import type { KeptPod, LocalPod, Piece, PolicyView, Ruleset } from './types.ts';

const maxIdLength = 160;
const nobody = 'none';

/**
 * From policies to rules: a pod is isolated in a direction as soon as one policy for that direction selects it, and may
 * then speak with whom any of them allows. Remembers the sets of groups, which may be large, as long as their slices stay the same.
 */
export class RulesetBuilder {
  readonly #groups = new Map<string, { readonly from: readonly unknown[]; readonly piece: Piece }>();

  build({ policies, groups: told, pods: wanted, kept, orphans }: PolicyView): Ruleset {
    const pods = [...wanted, ...kept.map(({ pod }) => pod)];
    const subjects = [...policies.map((policy): Subject => ({ policy, pods })), ...keptSubjects(kept, policies)];
    const groups = [...told, ...keptGroups(kept, told)];
    const pieces = new Map<string, Piece>();
    const addresses = new Map<string, { in?: string; out?: string }>();
    const used = new Map<string, Set<string>>();
    for (const direction of ['in', 'out'] as const) {
      const lists = subjects.filter(({ policy }) => appliesTo(policy, direction === 'in' ? 'Ingress' : 'Egress'))
        .map(({ policy, pods: among }) => ({ policy, id: idOf(policy), selected: selectedBy(policy, among) })).filter(({ selected }) => selected.length > 0).sort((a, b) => (a.id < b.id ? -1 : 1));
      const ofPod = new Map<LocalPod, string[]>();
      for (const { policy, id, selected } of lists) {
        const rules = allowRules(policy, direction, used);
        pieces.set(`${direction}/${id}`, allowPiece({ direction, id, rules, pods: selected }));
        for (const pod of selected) ofPod.set(pod, [...ofPod.get(pod) ?? [], id]);
      }
      for (const [pod, ids] of ofPod) {
        const key = hash('sha256', ids.join(' '), 'hex').slice(0, 16);
        pieces.set(`pods-${direction}/${key}`, isolationPiece(direction, key, ids));
        for (const ip of pod.ips) addresses.set(ip, { ...addresses.get(ip), [direction]: key });
      }
      for (const ip of orphans) {
        if (addresses.get(ip)?.[direction] !== undefined) continue;
        pieces.set(`pods-${direction}/${nobody}`, isolationPiece(direction, nobody, []));
        addresses.set(ip, { ...addresses.get(ip), [direction]: nobody });
      }
    }
    for (const [name, named] of used) pieces.set(`group/${name}`, this.#group(name, groups, pods, named));
    for (const name of this.#groups.keys()) if (!used.has(name)) this.#groups.delete(name);
    pieces.set('addresses', addressPiece(addresses));
    return pieces;
  }

  /** This host knows best which addresses its own pods have, after a reboot above all. */
  #group(name: string, all: readonly PeerGroupSlice[], local: readonly LocalPod[], named: ReadonlySet<string>): Piece {
    const slices = all.filter(({ group }) => group === name);
    const here = new Map(local.map((pod) => [pod.uid, pod.ips]));
    const corrected: PeerPod[] = slices.flatMap(({ pods }) => pods.map((pod) => {
      const ips = here.get(pod.uid);
      return ips === undefined || ips.length === 0 ? pod : { ...pod, ips };
    }));
    const from = [...slices, ...[...named].sort(), ...corrected.filter(({ uid }) => here.has(uid)).map(({ ips }) => ips.join())];
    const known = this.#groups.get(name);
    if (known && known.from.length === from.length && known.from.every((one, i) => one === from[i])) return known.piece;
    const piece = groupPiece(name, corrected, named);
    this.#groups.set(name, { from, piece });
    return piece;
  }
}

/** A policy and the pods that it may select. */
interface Subject {
  readonly policy: NetworkPolicy;
  readonly pods: readonly LocalPod[];
}

/** Policies that are told no more, for none but the pods that end under them. */
function keptSubjects(kept: readonly KeptPod[], told: readonly NetworkPolicy[]): Subject[] {
  const current = new Set(told.map(keyOf));
  const gone = kept.flatMap(({ pod, policies }) => policies.filter((policy) => !current.has(keyOf(policy))).map((policy) => ({ pod, policy })));
  return [...Map.groupBy(gone, ({ policy }) => keyOf(policy)).values()].flatMap((same) => {
    // Of several states of one policy the latest counts.
    const policy = same.at(-1)?.policy;
    return policy === undefined ? [] : [{ policy, pods: same.map(({ pod }) => pod) }];
  });
}

/** Slices of groups of which nothing is told any more. */
function keptGroups(kept: readonly KeptPod[], told: readonly PeerGroupSlice[]): PeerGroupSlice[] {
  const current = new Set(told.map(({ group }) => group));
  return [...new Map(kept.flatMap(({ groups }) => groups).filter(({ group }) => !current.has(group)).map((slice) => [slice.metadata?.name ?? '', slice])).values()];
}

/** Whether a policy selects the pod at all: it may only start with its rules in place. */
export function isSelected(policies: readonly NetworkPolicy[], namespace: string, labels: Readonly<Record<string, string>>): boolean {
  return policies.some((policy) => policy.metadata?.namespace === namespace && matchesLabels(requirementsOf(policy.spec?.podSelector ?? {}), labels));
}

function selectedBy({ metadata, spec }: NetworkPolicy, pods: readonly LocalPod[]): LocalPod[] {
  const requirements = requirementsOf(spec?.podSelector ?? {});
  return pods.filter(({ namespace, labels }) => namespace === metadata?.namespace && matchesLabels(requirements, labels));
}

/** `used` collects the groups that the rules speak of, and the ports that they name there. */
function allowRules({ metadata, spec }: NetworkPolicy, direction: Direction, used: Map<string, Set<string>>): AllowRule[] {
  const namespace = metadata?.namespace ?? '';
  const written: readonly (NetworkPolicyIngressRule & NetworkPolicyEgressRule)[] = (direction === 'in' ? spec?.ingress : spec?.egress) ?? [];
  return written.flatMap(({ from = [], to = [], ports = [] }): AllowRule[] => {
    const peers = direction === 'in' ? from : to;
    const isNamed = ({ port }: (typeof ports)[number]): boolean => direction === 'out' && typeof port === 'string';
    const rule = (asked: readonly NetworkPolicyPeer[], about: typeof ports): AllowRule => {
      const groups = asked.flatMap((peer) => groupNameOf(peer, namespace) ?? []);
      for (const group of groups) used.set(group, new Set([...used.get(group) ?? [], ...about.filter(isNamed).map(({ port }) => String(port))]));
      return { peers: asked.length > 0 ? { groups, blocks: asked.flatMap(({ ipBlock }) => ipBlock ?? []) } : undefined, ports: ports.length > 0 ? about : undefined };
    };
    if (peers.length > 0 || !ports.some(isNamed)) return [rule(peers, ports)];
    // A name means something only where there are pods: those of everybody.
    return [rule([everyPod], ports.filter(isNamed)), rule([], ports.filter((port) => !isNamed(port)))].filter((one) => (one.ports ?? []).length > 0);
  });
}

function idOf(policy: NetworkPolicy): string {
  const key = keyOf(policy);
  return key.length <= maxIdLength ? key : `${policy.metadata?.namespace ?? ''}/${hash('sha256', key, 'hex').slice(0, 32)}`;
}
