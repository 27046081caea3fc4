import type { TopologySpreadConstraint } from '#api/gen/types.ts';
import { matchesLabels } from '#api/meta/selectors.ts';
import { matchesNode } from '../../node-selector.ts';
import { selectorWithKeys } from '../../pod-info.ts';
import { untoleratedTaint } from '../../tolerations.ts';
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
  /** The pods that are spread, by class. */
  readonly classes: readonly PodClass[];
  readonly honorsAffinity: boolean;
  readonly honorsTaints: boolean;
}

export function explicitConstraints(pod: PodInfo, snapshot: Snapshot, whenUnsatisfiable: 'DoNotSchedule' | 'ScheduleAnyway'): Constraint[] {
  const constraints = pod.pod.spec?.topologySpreadConstraints ?? [];
  return constraints.filter((c) => c.whenUnsatisfiable === whenUnsatisfiable).map((c) => explicitConstraint(c, pod, snapshot));
}

function explicitConstraint(constraint: TopologySpreadConstraint, pod: PodInfo, snapshot: Snapshot): Constraint {
  const selector = selectorWithKeys(constraint.labelSelector, pod.labels, constraint.matchLabelKeys);
  return {
    topologyKey: constraint.topologyKey,
    maxSkew: constraint.maxSkew,
    minDomains: constraint.minDomains ?? 1,
    matchesSelf: matchesLabels(selector, pod.labels),
    classes: [...snapshot.classesIn(pod.namespace)].filter((c) => !c.terminating && matchesLabels(selector, c.labels)),
    honorsAffinity: constraint.nodeAffinityPolicy !== 'Ignore',
    honorsTaints: constraint.nodeTaintsPolicy === 'Honor',
  };
}

/**
 * Kubernetes' built-in defaults for a pod without constraints: pods of one owner are spread over hosts, and
 * over zones where there are any, as far as that is free.
 */
export function defaultConstraints(pod: PodInfo, snapshot: Snapshot): Constraint[] {
  if (pod.ownerUid === '') return [];
  const classes = [...snapshot.classesOf(pod.ownerUid)].filter((c) => !c.terminating);
  const common = { minDomains: 1, matchesSelf: true, classes, honorsAffinity: true, honorsTaints: false };
  const constraints = [{ ...common, topologyKey: hostnameKey, maxSkew: 3 }];
  if (snapshot.hasLabelKey(zoneKey)) constraints.push({ ...common, topologyKey: zoneKey, maxSkew: 5 });
  return constraints;
}

/** True when pods on this node count for the constraint. */
export function counts(constraint: Constraint, pod: PodInfo, node: NodeInfo): boolean {
  const spec = pod.pod.spec;
  return (!constraint.honorsAffinity || matchesNode(spec, node))
    && (!constraint.honorsTaints || untoleratedTaint(node.node.spec?.taints, spec?.tolerations) === undefined);
}

export function podsOn(constraint: Constraint, node: NodeInfo): number {
  let total = 0;
  for (const { nodes } of constraint.classes) total += nodes.get(node) ?? 0;
  return total;
}
