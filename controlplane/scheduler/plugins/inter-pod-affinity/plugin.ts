import { matchesLabels } from '#api/meta/selectors.ts';
import { PluginArgs } from '../../plugin-args.ts';
import { scaleToRange } from '../../scores.ts';
import type { AffinityTerm, ClusterEvent, NodeInfo, Plugin, PluginHandle, PodClass, PodInfo, Rejection, Snapshot, StateKey } from '../../types.ts';
import { classesFor, matchesTerm, TopologyTally, type Selected } from './terms.ts';

const refusedByAffinity: Rejection = { reasons: ["node(s) didn't match pod affinity rules"], resolvable: false };
const refusedByAntiAffinity: Rejection = { reasons: ["node(s) didn't match pod anti-affinity rules"], resolvable: true };
const refusedByExisting: Rejection = { reasons: ["node(s) didn't satisfy existing pods anti-affinity rules"], resolvable: true };

/** Pods in each domain that matter to the pod's required terms, and to those of pods already placed. */
interface Required {
  readonly affinity: TopologyTally;
  readonly antiAffinity: TopologyTally;
  /** Of placed pods that keep this one away. */
  readonly existing: TopologyTally;
  /** The pod satisfies its own affinity: as the first of its group it may go anywhere. */
  readonly matchesSelf: boolean;
}

const required: StateKey<Required> = { plugin: 'InterPodAffinity' };
const preferred: StateKey<TopologyTally> = { plugin: 'InterPodAffinity' };

/** Pod affinity and anti-affinity: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity */
export function interPodAffinity({ args }: Partial<PluginHandle> = {}): Plugin {
  const given = new PluginArgs(args, 'InterPodAffinity', ['hardPodAffinityWeight', 'ignorePreferredTermsOfExistingPods']);
  const weights: Weights = {
    ofRequired: given.integer('hardPodAffinityWeight', { default: 1, min: 0, max: 100 }),
    ignoreExisting: given.boolean('ignorePreferredTermsOfExistingPods', false),
  };
  return {
    name: 'InterPodAffinity',
    events: ['node-added', 'node-labels-changed', 'assigned-pod-added', 'assigned-pod-updated', 'assigned-pod-deleted'],
    helps,
    weight: 2,
    preFilter(pod, snapshot, state) {
      const data = countRequired(pod, snapshot);
      if (data.existing.isUntouched && pod.affinity.required.length === 0 && pod.antiAffinity.required.length === 0) return 'skip';
      state.set(required, data);
      return undefined;
    },
    addPod(pod, other, node, state, snapshot) { move(pod, other, node, state.get(required), snapshot, 1); },
    removePod(pod, other, node, state, snapshot) { move(pod, other, node, state.get(required), snapshot, -1); },
    filter(pod, node, state) {
      const data = state.get(required);
      return data && filter(pod, node, data);
    },
    preScore(pod, _nodes, snapshot, state) {
      const tally = weighPreferred(pod, snapshot, weights);
      state.set(preferred, tally);
      return tally.isUntouched ? 'skip' : undefined;
    },
    score: (_pod, node, state) => state.get(preferred)?.total(node) ?? 0,
    normalize: (scores) => { scaleToRange(scores); },
  };
}

function countRequired(pod: PodInfo, snapshot: Snapshot): Required {
  const data = { affinity: new TopologyTally(), antiAffinity: new TopologyTally(), existing: new TopologyTally() };
  const { affinity, antiAffinity } = pod;
  if (affinity.required.length > 0) {
    for (const podClass of classesFor(affinity.required, snapshot)) {
      if (!matchesAll(affinity.required, podClass, snapshot)) continue;
      for (const term of affinity.required) data.affinity.add(term.topologyKey, podClass, 1);
    }
  }
  if (antiAffinity.required.length > 0) {
    for (const podClass of classesFor(antiAffinity.required, snapshot)) {
      for (const term of antiAffinity.required) if (matchesTerm(term, podClass, snapshot)) data.antiAffinity.add(term.topologyKey, podClass, 1);
    }
  }
  for (const podClass of snapshot.classesWithAffinity()) {
    for (const term of podClass.antiAffinity.required) if (matchesTerm(term, pod, snapshot)) data.existing.add(term.topologyKey, podClass, 1);
  }
  return { ...data, matchesSelf: matchesAll(affinity.required, pod, snapshot) };
}

function matchesAll(terms: readonly AffinityTerm[], of: Selected, snapshot: Snapshot): boolean {
  return terms.every((term) => matchesTerm(term, of, snapshot));
}

/** Counts one pod more, or less, on the node. */
function move(pod: PodInfo, other: PodInfo, node: NodeInfo, data: Required | undefined, snapshot: Snapshot, sign: 1 | -1): void {
  if (!data) return;
  const { affinity, antiAffinity } = pod;
  if (affinity.required.length > 0 && matchesAll(affinity.required, other, snapshot)) {
    for (const term of affinity.required) data.affinity.addOne(term.topologyKey, node, sign);
  }
  for (const term of antiAffinity.required) if (matchesTerm(term, other, snapshot)) data.antiAffinity.addOne(term.topologyKey, node, sign);
  for (const term of other.antiAffinity.required) if (matchesTerm(term, pod, snapshot)) data.existing.addOne(term.topologyKey, node, sign);
}

function filter(pod: PodInfo, node: NodeInfo, { affinity, antiAffinity, existing, matchesSelf }: Required): Rejection | undefined {
  if (pod.affinity.required.length > 0) {
    const isFirst = matchesSelf && affinity.isEmpty;
    for (const { topologyKey } of pod.affinity.required) {
      if (node.labels[topologyKey] === undefined) return refusedByAffinity;
      if (!isFirst && affinity.get(topologyKey, node) <= 0) return refusedByAffinity;
    }
  }
  for (const { topologyKey } of pod.antiAffinity.required) {
    if (antiAffinity.get(topologyKey, node) > 0) return refusedByAntiAffinity;
  }
  return existing.isPositiveAnywhere(node) ? refusedByExisting : undefined;
}

/**
 * A pod that comes or changes helps when the waiting one wants to be near it; one that goes or changes when either
 * keeps the other away; a node when it has what the terms are about.
 */
function helps(pod: PodInfo, { type, node, pod: other, oldPod }: ClusterEvent): boolean {
  const { affinity, antiAffinity } = pod;
  if (other === undefined) {
    return node === undefined || affinity.required.every(({ topologyKey }) => node.labels[topologyKey] !== undefined);
  }
  const wanted = (one: PodInfo): boolean => affinity.required.some((term) => mayMatch(term, one));
  const unwanted = (one: PodInfo): boolean => antiAffinity.required.some((term) => mayMatch(term, one)) || one.antiAffinity.required.some((term) => mayMatch(term, pod));
  if (type === 'assigned-pod-added') return wanted(other);
  // The last of its group that goes lets the first of the group go anywhere.
  if (type === 'assigned-pod-deleted') return unwanted(other) || wanted(other);
  return wanted(other) || unwanted(oldPod ?? other);
}

/** Without a look at the labels of namespaces: it may be true once too often. */
function mayMatch({ namespaces, namespaceSelector, selector }: AffinityTerm, of: Selected): boolean {
  return (namespaceSelector !== undefined || namespaces.has(of.namespace)) && matchesLabels(selector, of.labels);
}

interface Weights {
  /** The weight of a placed pod's required affinity to this one, beside preferred terms' 1 to 100. */
  readonly ofRequired: number;
  /** Placed pods' preferences matter only to pods that have some themselves. */
  readonly ignoreExisting: boolean;
}

function weighPreferred(pod: PodInfo, snapshot: Snapshot, weights: Weights): TopologyTally {
  const tally = new TopologyTally();
  const { affinity, antiAffinity } = pod;
  const terms = [...affinity.preferred, ...antiAffinity.preferred];
  if (terms.length === 0 && weights.ignoreExisting) return tally;
  if (terms.length > 0) {
    for (const podClass of classesFor(terms, snapshot)) weighOwnTerms(pod, podClass, snapshot, tally);
  }
  for (const podClass of snapshot.classesWithAffinity()) weighTermsOf(podClass, pod, snapshot, tally, weights);
  return tally;
}

function weighOwnTerms(pod: PodInfo, podClass: PodClass, snapshot: Snapshot, tally: TopologyTally): void {
  for (const term of pod.affinity.preferred) if (matchesTerm(term, podClass, snapshot)) tally.add(term.topologyKey, podClass, term.weight);
  for (const term of pod.antiAffinity.preferred) if (matchesTerm(term, podClass, snapshot)) tally.add(term.topologyKey, podClass, -term.weight);
}

function weighTermsOf(podClass: PodClass, pod: PodInfo, snapshot: Snapshot, tally: TopologyTally, { ofRequired, ignoreExisting }: Weights): void {
  if (ofRequired > 0) {
    for (const term of podClass.affinity.required) if (matchesTerm(term, pod, snapshot)) tally.add(term.topologyKey, podClass, ofRequired);
  }
  if (ignoreExisting) return;
  for (const term of podClass.affinity.preferred) if (matchesTerm(term, pod, snapshot)) tally.add(term.topologyKey, podClass, term.weight);
  for (const term of podClass.antiAffinity.preferred) if (matchesTerm(term, pod, snapshot)) tally.add(term.topologyKey, podClass, -term.weight);
}
