import type { TopologySpreadConstraint } from '#api/gen/types.ts';
import { matchesLabels, type LabelRequirement } from '#api/meta/selectors.ts';
import { matchesNode } from '#api/pod-spec/node-selector.ts';
import { selectorWithKeys } from '../../pod-info.ts';
import { untolerated } from '#api/pod-spec/tolerations.ts';
import type { NodeInfo, PodClass, PodInfo, Snapshot } from '../../types.ts';

export const hostnameKey = 'kubernetes.io/hostname';
const zoneKey = 'topology.kubernetes.io/zone';

/** One constraint on one pod, ready to be counted. */
export interface Constraint {
  readonly topologyKey: string;
  readonly maxSkew: number;
  readonly minDomains: number;
  /** True when the pod counts among those that are spread. */
  readonly matchesSelf: boolean;
  /** True when the other pod is one of those that are spread. */
  readonly matches: (other: PodInfo) => boolean;
  /** The pods that are spread, by class. */
  readonly classes: readonly PodClass[];
  readonly honorsAffinity: boolean;
  readonly honorsTaints: boolean;
}

/** A constraint of the profile, for pods that have none: what it selects is what the pod's owner owns. */
export type DefaultConstraint = Pick<Constraint, 'topologyKey' | 'maxSkew'> & { readonly whenUnsatisfiable: 'DoNotSchedule' | 'ScheduleAnyway' };

export function explicitConstraints(pod: PodInfo, snapshot: Snapshot, whenUnsatisfiable: 'DoNotSchedule' | 'ScheduleAnyway'): Constraint[] {
  const constraints = pod.pod.spec?.topologySpreadConstraints ?? [];
  return constraints.filter((c) => c.whenUnsatisfiable === whenUnsatisfiable).map((c) => explicitConstraint(c, pod, snapshot));
}

export function selectorOf(constraint: TopologySpreadConstraint, pod: PodInfo): readonly LabelRequirement[] {
  return selectorWithKeys(constraint.labelSelector, pod.labels, constraint.matchLabelKeys);
}

function explicitConstraint(constraint: TopologySpreadConstraint, pod: PodInfo, snapshot: Snapshot): Constraint {
  const selector = selectorOf(constraint, pod);
  return {
    topologyKey: constraint.topologyKey,
    maxSkew: constraint.maxSkew,
    minDomains: constraint.minDomains ?? 1,
    matchesSelf: matchesLabels(selector, pod.labels),
    matches: (other) => other.namespace === pod.namespace && other.pod.metadata?.deletionTimestamp === undefined && matchesLabels(selector, other.labels),
    classes: [...snapshot.classesIn(pod.namespace)].filter((c) => !c.terminating && matchesLabels(selector, c.labels)),
    honorsAffinity: constraint.nodeAffinityPolicy !== 'Ignore',
    honorsTaints: constraint.nodeTaintsPolicy === 'Honor',
  };
}

/** Kubernetes' built-in defaults: spread over hosts, and over zones where there are any, as far as that is free. */
export function systemDefaults(snapshot: Snapshot): DefaultConstraint[] {
  const host: DefaultConstraint = { topologyKey: hostnameKey, maxSkew: 3, whenUnsatisfiable: 'ScheduleAnyway' };
  return snapshot.hasLabelKey(zoneKey) ? [host, { topologyKey: zoneKey, maxSkew: 5, whenUnsatisfiable: 'ScheduleAnyway' }] : [host];
}

/** Applied to a pod that has an owner and no constraints of its own. */
export function defaultConstraints(defaults: readonly DefaultConstraint[], pod: PodInfo, snapshot: Snapshot): Constraint[] {
  if (pod.ownerUid === '' || defaults.length === 0) return [];
  const common = {
    minDomains: 1, matchesSelf: true, honorsAffinity: true, honorsTaints: false,
    matches: (other: PodInfo) => other.ownerUid === pod.ownerUid && other.pod.metadata?.deletionTimestamp === undefined,
    classes: [...snapshot.classesOf(pod.ownerUid)].filter((c) => !c.terminating),
  };
  return defaults.map(({ topologyKey, maxSkew }) => ({ ...common, topologyKey, maxSkew }));
}

/** True when pods on every node that has the label count for the constraint. */
export function countsEverywhere({ honorsAffinity, honorsTaints }: Constraint, { pod: { spec } }: PodInfo): boolean {
  const choosesNodes = spec?.nodeSelector !== undefined || spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution !== undefined;
  return !(honorsAffinity && choosesNodes) && !honorsTaints;
}

/** True when pods on this node count for the constraint. */
export function counts({ honorsAffinity, honorsTaints }: Pick<Constraint, 'honorsAffinity' | 'honorsTaints'>, pod: PodInfo, node: NodeInfo): boolean {
  const spec = pod.pod.spec;
  return (!honorsAffinity || matchesNode(spec, node))
    && (!honorsTaints || untolerated(node.hardTaints, spec?.tolerations) === undefined);
}

export function podsOn(constraint: Constraint, node: NodeInfo): number {
  let total = 0;
  for (const { nodes } of constraint.classes) total += nodes.get(node) ?? 0;
  return total;
}
