import { isTolerated } from '../../tolerations.ts';
import type { Plugin, Rejection } from '../../types.ts';

const refused: Rejection = { reasons: ['node(s) were unschedulable'], resolvable: false };
const taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

/** Keeps pods off cordoned nodes, unless they tolerate the taint that stands for being cordoned. */
export function nodeUnschedulable(): Plugin {
  return {
    name: 'NodeUnschedulable',
    events: ['node-added', 'node-taints-changed'],
    filter: (pod, node) => (node.node.spec?.unschedulable && !isTolerated(taint, pod.pod.spec?.tolerations) ? refused : undefined),
  };
}
