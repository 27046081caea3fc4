import { matchesLabels } from '#api/meta/selectors.ts';
import { isMap, PluginArgs } from '../../plugin-args.ts';
import { maxScore } from '../../scores.ts';
import type { ClusterEvent, CycleState, NodeInfo, Plugin, PluginHandle, PodInfo, Rejection, Snapshot, StateKey } from '../../types.ts';
import {
  counts, countsEverywhere, defaultConstraints, explicitConstraints, hostnameKey, podsOn, selectorOf, systemDefaults, type Constraint, type DefaultConstraint,
} from './constraints.ts';
import { Domains, Scopes } from './domains.ts';

const name = 'PodTopologySpread';
const tooUneven: Rejection = { reasons: ["node(s) didn't match pod topology spread constraints"], resolvable: true };
const noDomain: Rejection = { reasons: ["node(s) didn't match pod topology spread constraints (missing required label)"], resolvable: false };

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

const hard: StateKey<readonly Domains[]> = { plugin: name };
const soft: StateKey<readonly Weighing[]> = { plugin: name };

/** Spreads pods over domains (hosts, zones): https://kubernetes.io/docs/concepts/scheduling-eviction/topology-spread-constraints/ */
export function podTopologySpread({ args }: Partial<PluginHandle> = {}): Plugin {
  const own = readDefaults(args);
  const scopes = new Scopes();
  const constraintsOf = (pod: PodInfo, snapshot: Snapshot, when: DefaultConstraint['whenUnsatisfiable']): Constraint[] => {
    if ((pod.pod.spec?.topologySpreadConstraints?.length ?? 0) > 0) return explicitConstraints(pod, snapshot, when);
    return defaultConstraints((own ?? systemDefaults(snapshot)).filter(({ whenUnsatisfiable }) => whenUnsatisfiable === when), pod, snapshot);
  };
  const move = (pod: PodInfo, other: PodInfo, node: NodeInfo, state: CycleState, sign: 1 | -1): void => {
    for (const domains of state.get(hard) ?? []) domains.move(other, node, pod, sign);
  };

  return {
    name,
    events: ['node-added', 'node-labels-changed', 'node-taints-changed', 'assigned-pod-added', 'assigned-pod-updated', 'assigned-pod-deleted'],
    helps,
    weight: 2,
    preFilter(pod, snapshot, state) {
      const constraints = constraintsOf(pod, snapshot, 'DoNotSchedule');
      if (constraints.length === 0) return 'skip';
      const found = scopes.of(constraints, pod, snapshot);
      state.set(hard, constraints.flatMap((constraint, i) => (found[i] ? [new Domains(constraint, found[i])] : [])));
      return undefined;
    },
    addPod(pod, other, node, state) { move(pod, other, node, state, 1); },
    removePod(pod, other, node, state) { move(pod, other, node, state, -1); },
    filter: (_pod, node, state) => filter(state.get(hard) ?? [], node),
    preScore(pod, nodes, snapshot, state) {
      const constraints = constraintsOf(pod, snapshot, 'ScheduleAnyway');
      const needsLabel = own !== undefined || (pod.pod.spec?.topologySpreadConstraints?.length ?? 0) > 0;
      if (constraints.length === 0 || (!needsLabel && constraints.every(({ classes }) => classes.length === 0))) return 'skip';
      state.set(soft, constraints.map((constraint) => weigh(constraint, pod, nodes, needsLabel)));
      return undefined;
    },
    score: (_pod, node, state) => score(state, node),
    normalize: (scores) => { normalize(scores); },
  };
}

/** `defaultConstraints` of the profile; undefined for the built-in ones. */
function readDefaults(all: PluginHandle['args']): readonly DefaultConstraint[] | undefined {
  const args = new PluginArgs(all, name, ['defaultConstraints', 'defaultingType']);
  const given = args.list('defaultConstraints') ?? [];
  if (args.choice('defaultingType', ['System', 'List'], 'System') === 'System') {
    if (given.length > 0) throw args.wrong('defaultConstraints', 'may be given only with defaultingType List');
    return undefined;
  }
  return given.map((item, i) => {
    const field = `defaultConstraints[${String(i)}]`;
    if (!isMap(item)) throw args.wrong(field, 'must be a map');
    const { topologyKey, maxSkew, whenUnsatisfiable } = item;
    if (typeof topologyKey !== 'string' || topologyKey === '') throw args.wrong(`${field}.topologyKey`, 'is required');
    if (whenUnsatisfiable !== 'DoNotSchedule' && whenUnsatisfiable !== 'ScheduleAnyway') throw args.wrong(`${field}.whenUnsatisfiable`, 'must be DoNotSchedule or ScheduleAnyway');
    return { topologyKey, whenUnsatisfiable, maxSkew: args.checkInteger(`${field}.maxSkew`, maxSkew, 1) };
  });
}

function filter(domains: readonly Domains[], node: NodeInfo): Rejection | undefined {
  for (const domain of domains) {
    const value = node.labels[domain.constraint.topologyKey];
    if (value === undefined) return noDomain;
    if (domain.skewAt(value) > domain.constraint.maxSkew) return tooUneven;
  }
  return undefined;
}

/** Pods help that are spread together with the waiting one, wherever they come or go; nodes that are, or were, in a domain. */
function helps(pod: PodInfo, { node, pod: other, oldPod }: ClusterEvent): boolean {
  const constraints = pod.pod.spec?.topologySpreadConstraints ?? [];
  if (constraints.length === 0) return true;
  if (other === undefined) return node === undefined || constraints.some(({ topologyKey }) => node.labels[topologyKey] !== undefined);
  if (other.namespace !== pod.namespace) return false;
  return constraints.some((constraint) => {
    const selector = selectorOf(constraint, pod);
    return matchesLabels(selector, other.labels) || (oldPod !== undefined && matchesLabels(selector, oldPod.labels));
  });
}

function weigh(constraint: Constraint, pod: PodInfo, nodes: readonly NodeInfo[], needsLabel: boolean): Weighing {
  const { topologyKey, classes } = constraint;
  if (topologyKey === hostnameKey) return { constraint, pods: undefined, factor: Math.log(nodes.length + 2), needsLabel };
  const pods = new Map<string, number>();
  for (const node of nodes) {
    const value = node.labels[topologyKey];
    if (value !== undefined) pods.set(value, 0);
  }
  const factor = Math.log(pods.size + 2);
  const add = (value: string | undefined, amount: number): void => {
    const before = value === undefined ? undefined : pods.get(value);
    if (value !== undefined && before !== undefined) pods.set(value, before + amount);
  };
  for (const podClass of classes) {
    if (countsEverywhere(constraint, pod)) for (const [value, amount] of podClass.domains(topologyKey).byValue) add(value, amount);
    else for (const [node, amount] of podClass.nodes) if (counts(constraint, pod, node)) add(node.labels[topologyKey], amount);
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
