import { isTolerated } from '#api/pod-spec/tolerations.ts';
import type { Plugin, PodInfo, Rejection } from '../../types.ts';

const refused: Rejection = { reasons: ['node(s) were unschedulable'], resolvable: false };
const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

/** Keeps pods off cordoned nodes, unless they tolerate the taint that stands for being cordoned. */
export function nodeUnschedulable(): Plugin {
  return {
    name: 'NodeUnschedulable',
    events: ['node-added', 'node-taints-changed'],
    helps: (pod, { node }) => node === undefined || !node.unschedulable || !minds(pod),
    preFilter: (pod, snapshot) => (snapshot.unschedulableNodes === 0 || !minds(pod) ? 'skip' : undefined),
    filter: (_pod, node) => (node.unschedulable ? refused : undefined),
  };
}

function minds({ pod }: PodInfo): boolean {
  return !isTolerated(taint, pod.spec?.tolerations);
}
