import { maxScore } from '../../scores.ts';
import type { CycleState, NodeInfo, Plugin, PodInfo, Rejection, Snapshot, StateKey } from '../../types.ts';
import { counts, defaultConstraints, explicitConstraints, hostnameKey, podsOn, type Constraint } from './constraints.ts';

const tooUneven: Rejection = { reasons: ["node(s) didn't match pod topology spread constraints"], resolvable: true };
const noDomain: Rejection = { reasons: ["node(s) didn't match pod topology spread constraints (missing required label)"], resolvable: false };

/** A hard constraint with the pods in each of its domains. */
interface Domains {
  readonly constraint: Constraint;
  readonly pods: ReadonlyMap<string, number>;
  readonly fewest: number;
}

/** A soft constraint with what it takes to score a node. */
interface Weighing {
  readonly constraint: Constraint;
  /** Absent for host names: there the node itself is counted. */
  readonly pods: ReadonlyMap<string, number> | undefined;
  /** Makes up for constraints with many domains having low counts. */
  readonly factor: number;
  /** A node without the label scores worst; for the built-in defaults the constraint is passed over. */
  readonly needsLabel: boolean;
}

const hard: StateKey<readonly Domains[]> = { plugin: 'PodTopologySpread' };
const soft: StateKey<readonly Weighing[]> = { plugin: 'PodTopologySpread' };

/** Spreads pods over domains (hosts, zones): https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/ */
export function podTopologySpread(): Plugin {
  return {
    name: 'PodTopologySpread',
    events: ['node-added', 'node-labels-changed', 'node-taints-changed', 'assigned-pod-added', 'assigned-pod-updated', 'assigned-pod-deleted'],
    weight: 2,
    preFilter(pod, snapshot, state) {
      const constraints = explicitConstraints(pod, snapshot, 'DoNotSchedule');
      if (constraints.length === 0) return 'skip';
      state.set(hard, countDomains(constraints, pod, snapshot));
      return undefined;
    },
    filter: (_pod, node, state) => filter(state.get(hard) ?? [], node),
    preScore(pod, nodes, snapshot, state) {
      const explicit = pod.pod.spec?.topologySpreadConstraints?.length ?? 0;
      const constraints = explicit > 0 ? explicitConstraints(pod, snapshot, 'ScheduleAnyway') : defaultConstraints(pod, snapshot);
      if (constraints.every(({ classes }) => classes.length === 0)) return 'skip';
      state.set(soft, constraints.map((constraint) => weigh(constraint, pod, nodes, explicit > 0)));
      return undefined;
    },
    score: (_pod, node, state) => score(state, node),
    normalize: (scores) => { normalize(scores); },
  };
}

function countDomains(constraints: readonly Constraint[], pod: PodInfo, snapshot: Snapshot): Domains[] {
  const pods = constraints.map(() => new Map<string, number>());
  for (const node of snapshot.nodes) {
    if (!constraints.every((c) => node.labels[c.topologyKey] !== undefined)) continue;
    constraints.forEach((constraint, i) => {
      if (counts(constraint, pod, node)) add(pods[i], node.labels[constraint.topologyKey], podsOn(constraint, node));
    });
  }
  return constraints.map((constraint, i) => {
    const domains = pods[i] ?? new Map<string, number>();
    let fewest = domains.size < constraint.minDomains ? 0 : Infinity;
    for (const inDomain of domains.values()) fewest = Math.min(fewest, inDomain);
    return { constraint, pods: domains, fewest };
  });
}

function add(map: Map<string, number> | undefined, key: string | undefined, amount: number): void {
  if (map && key !== undefined) map.set(key, (map.get(key) ?? 0) + amount);
}

function filter(domains: readonly Domains[], node: NodeInfo): Rejection | undefined {
  for (const { constraint, pods, fewest } of domains) {
    const value = node.labels[constraint.topologyKey];
    if (value === undefined) return noDomain;
    const skew = (pods.get(value) ?? 0) + (constraint.matchesSelf ? 1 : 0) - fewest;
    if (skew > constraint.maxSkew) return tooUneven;
  }
  return undefined;
}

function weigh(constraint: Constraint, pod: PodInfo, nodes: readonly NodeInfo[], needsLabel: boolean): Weighing {
  if (constraint.topologyKey === hostnameKey) return { constraint, pods: undefined, factor: Math.log(nodes.length + 2), needsLabel };
  const pods = new Map<string, number>();
  for (const node of nodes) add(pods, node.labels[constraint.topologyKey], 0);
  const factor = Math.log(pods.size + 2);
  for (const podClass of constraint.classes) {
    for (const [node, count] of podClass.nodes) if (counts(constraint, pod, node)) add(pods, node.labels[constraint.topologyKey], count);
  }
  return { constraint, pods, factor, needsLabel };
}

/** Lower is better here; `normalize` turns it round. NaN: the node has no place in some constraint's topology. */
function score(state: CycleState, node: NodeInfo): number {
  let total = 0;
  for (const { constraint, pods, factor, needsLabel } of state.get(soft) ?? []) {
    const value = node.labels[constraint.topologyKey];
    if (value === undefined) {
      if (needsLabel) return NaN;
      continue;
    }
    total += (pods ? pods.get(value) ?? 0 : podsOn(constraint, node)) * factor + constraint.maxSkew - 1;
  }
  return total;
}

function normalize(scores: Float64Array): void {
  let lowest = Infinity;
  let highest = 0;
  for (const value of scores) {
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  for (let i = 0; i < scores.length; i++) {
    const value = scores[i] ?? NaN;
    if (Number.isNaN(value)) scores[i] = 0;
    else scores[i] = highest === 0 ? maxScore : (maxScore * (highest + lowest - value)) / highest;
  }
}
