import { scaleToRange } from '../../scores.ts';
import type { NodeInfo, Plugin, PodClass, PodInfo, Rejection, Snapshot, StateKey } from '../../types.ts';
import { matchesTerm, TopologyTally } from './terms.ts';

const refusedByAffinity: Rejection = { reasons: ["node(s) didn't match pod affinity rules"], resolvable: false };
const refusedByAntiAffinity: Rejection = { reasons: ["node(s) didn't match pod anti-affinity rules"], resolvable: true };
const refusedByExisting: Rejection = { reasons: ["node(s) didn't satisfy existing pods anti-affinity rules"], resolvable: true };

/** Pods in each domain that matter to the pod's required terms, and to those of pods already placed. */
interface Required {
  readonly affinity: TopologyTally;
  readonly antiAffinity: TopologyTally;
  readonly existing: TopologyTally;
  /** Topology keys under which placed pods keep this one away. */
  readonly existingKeys: ReadonlySet<string>;
  /** The first pod of a group that wants to be together with itself may go anywhere. */
  readonly isFirst: boolean;
}

const required: StateKey<Required> = { plugin: 'InterPodAffinity' };
const preferred: StateKey<TopologyTally> = { plugin: 'InterPodAffinity' };

/** Pod affinity and anti-affinity: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity */
export function interPodAffinity(): Plugin {
  return {
    name: 'InterPodAffinity',
    events: ['node-added', 'node-labels-changed', 'assigned-pod-added', 'assigned-pod-updated', 'assigned-pod-deleted'],
    weight: 2,
    preFilter(pod, snapshot, state) {
      const data = countRequired(pod, snapshot);
      if (data.existingKeys.size === 0 && pod.affinity.required.length === 0 && pod.antiAffinity.required.length === 0) return 'skip';
      state.set(required, data);
      return undefined;
    },
    filter(pod, node, state) {
      const data = state.get(required);
      return data && filter(pod, node, data);
    },
    preScore(pod, _nodes, snapshot, state) {
      const tally = weighPreferred(pod, snapshot);
      state.set(preferred, tally);
      return tally.isEmpty ? 'skip' : undefined;
    },
    score: (_pod, node, state) => state.get(preferred)?.total(node) ?? 0,
    normalize: (scores) => { scaleToRange(scores); },
  };
}

function countRequired(pod: PodInfo, snapshot: Snapshot): Required {
  const affinity = new TopologyTally();
  const antiAffinity = new TopologyTally();
  if (pod.affinity.required.length > 0 || pod.antiAffinity.required.length > 0) {
    for (const podClass of snapshot.classes()) {
      if (pod.affinity.required.every((term) => matchesTerm(term, podClass, snapshot))) {
        for (const term of pod.affinity.required) affinity.add(term.topologyKey, podClass, 1);
      }
      for (const term of pod.antiAffinity.required) {
        if (matchesTerm(term, podClass, snapshot)) antiAffinity.add(term.topologyKey, podClass, 1);
      }
    }
  }
  const existing = new TopologyTally();
  const existingKeys = new Set<string>();
  for (const podClass of snapshot.classesWithAffinity()) {
    for (const term of podClass.antiAffinity.required) {
      if (!matchesTerm(term, pod, snapshot)) continue;
      existing.add(term.topologyKey, podClass, 1);
      existingKeys.add(term.topologyKey);
    }
  }
  const isFirst = affinity.isEmpty && pod.affinity.required.every((term) => matchesTerm(term, pod, snapshot));
  return { affinity, antiAffinity, existing, existingKeys, isFirst };
}

function filter(pod: PodInfo, node: NodeInfo, { affinity, antiAffinity, existing, existingKeys, isFirst }: Required): Rejection | undefined {
  for (const { topologyKey } of pod.affinity.required) {
    if (node.labels[topologyKey] === undefined) return refusedByAffinity;
    if (!isFirst && affinity.get(topologyKey, node) === 0) return refusedByAffinity;
  }
  for (const { topologyKey } of pod.antiAffinity.required) {
    if (antiAffinity.get(topologyKey, node) > 0) return refusedByAntiAffinity;
  }
  for (const key of existingKeys) {
    if (existing.get(key, node) > 0) return refusedByExisting;
  }
  return undefined;
}

/** The weight of a placed pod's required affinity to this one, beside preferred terms' 1 to 100. */
const requiredAffinityWeight = 1;

function weighPreferred(pod: PodInfo, snapshot: Snapshot): TopologyTally {
  const tally = new TopologyTally();
  if (pod.affinity.preferred.length > 0 || pod.antiAffinity.preferred.length > 0) {
    for (const podClass of snapshot.classes()) weighOwnTerms(pod, podClass, snapshot, tally);
  }
  for (const podClass of snapshot.classesWithAffinity()) weighTermsOf(podClass, pod, snapshot, tally);
  return tally;
}

function weighOwnTerms(pod: PodInfo, podClass: PodClass, snapshot: Snapshot, tally: TopologyTally): void {
  for (const term of pod.affinity.preferred) if (matchesTerm(term, podClass, snapshot)) tally.add(term.topologyKey, podClass, term.weight);
  for (const term of pod.antiAffinity.preferred) if (matchesTerm(term, podClass, snapshot)) tally.add(term.topologyKey, podClass, -term.weight);
}

function weighTermsOf(podClass: PodClass, pod: PodInfo, snapshot: Snapshot, tally: TopologyTally): void {
  for (const term of podClass.affinity.required) if (matchesTerm(term, pod, snapshot)) tally.add(term.topologyKey, podClass, requiredAffinityWeight);
  for (const term of podClass.affinity.preferred) if (matchesTerm(term, pod, snapshot)) tally.add(term.topologyKey, podClass, term.weight);
  for (const term of podClass.antiAffinity.preferred) if (matchesTerm(term, pod, snapshot)) tally.add(term.topologyKey, podClass, -term.weight);
}
