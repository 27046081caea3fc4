import type { DaemonSet, Node, Pod, PodSpec, Toleration } from '#api/gen/types.ts';
import { daemonSets } from '#api/kinds/resources.ts';
import { matchesNode } from '#api/pod-spec/node-selector.ts';
import { isTolerated, untoleratedTaint } from '#api/pod-spec/tolerations.ts';
import { podFromTemplate } from '../pod-from-template.ts';
import { revisionLabel } from '../revision-history.ts';

export const generationLabel = 'pod-template-generation';
const generationAnnotation = 'deprecated.daemonset.template.generation';

/** What keeps others away keeps no daemon away: it may be there to mend it. Source: AddOrUpdateDaemonPodTolerations. */
const standardTolerations: readonly Toleration[] = [
  ...['not-ready', 'unreachable'].map((name) => ({ key: `node.kubernetes.io/${name}`, operator: 'Exists', effect: 'NoExecute' })),
  ...['disk-pressure', 'memory-pressure', 'pid-pressure', 'unschedulable'].map((name) => ({ key: `node.kubernetes.io/${name}`, operator: 'Exists', effect: 'NoSchedule' })),
];
const hostNetworkToleration: Toleration = { key: 'node.kubernetes.io/network-unavailable', operator: 'Exists', effect: 'NoSchedule' };

function tolerationsOf(spec: PodSpec | undefined): Toleration[] {
  const added = spec?.hostNetwork === true ? [...standardTolerations, hostNetworkToleration] : standardTolerations;
  const own = (spec?.tolerations ?? []).filter((toleration) => !added.some(({ key, effect }) => key === toleration.key && effect === toleration.effect && toleration.operator === 'Exists'));
  return [...own, ...added];
}

/** How often the template has changed, as apps/v1 keeps it. */
export function templateGeneration(daemonSet: DaemonSet): string | undefined {
  return daemonSet.metadata?.annotations?.[generationAnnotation];
}

/** A pod for one node: it asks the scheduler for that node and no other. */
export function daemonPod(daemonSet: DaemonSet, nodeName: string, hash: string): Pod {
  const pod = podFromTemplate(daemonSets, daemonSet, daemonSet.spec?.template);
  const { affinity } = pod.spec ?? {};
  const generation = templateGeneration(daemonSet);
  const only = { nodeSelectorTerms: [{ matchFields: [{ key: 'metadata.name', operator: 'In', values: [nodeName] }] }] };
  return {
    ...pod,
    metadata: { ...pod.metadata, labels: { ...pod.metadata?.labels, ...(generation !== undefined && { [generationLabel]: generation }), [revisionLabel]: hash } },
    spec: {
      containers: [], ...pod.spec, tolerations: tolerationsOf(pod.spec),
      affinity: { ...affinity, nodeAffinity: { ...affinity?.nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: only } },
    },
  };
}

/** The node that a pod runs on or is meant for. */
export function targetNode(pod: Pod): string | undefined {
  if (pod.spec?.nodeName) return pod.spec.nodeName;
  const terms = pod.spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  return terms.flatMap(({ matchFields = [] }) => matchFields).find(({ key, operator, values = [] }) => key === 'metadata.name' && operator === 'In' && values.length === 1)?.values?.[0];
}

export interface Fit {
  /** A pod should be made here. */
  readonly run: boolean;
  /** One that is here may stay. */
  readonly stay: boolean;
}

/** Whether the daemon belongs on a node: its selector, its affinity, and the taints it tolerates. */
export function fitOf(daemonSet: DaemonSet, node: Node): Fit {
  const spec = daemonSet.spec?.template.spec;
  const name = node.metadata?.name ?? '';
  if ((spec?.nodeName && spec.nodeName !== name) || !matchesNode(spec, { name, labels: node.metadata?.labels ?? {} })) return { run: false, stay: false };
  const taints = node.spec?.taints ?? [];
  const tolerations = tolerationsOf(spec);
  if (untoleratedTaint(taints, tolerations) === undefined) return { run: true, stay: true };
  return { run: false, stay: taints.every((taint) => taint.effect !== 'NoExecute' || isTolerated(taint, tolerations)) };
}
