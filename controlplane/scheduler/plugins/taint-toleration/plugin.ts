import type { Taint } from '#api/gen/types.ts';
import { scaleToHighest } from '../../scores.ts';
import { isTolerated, untoleratedTaint } from '../../tolerations.ts';
import type { Plugin } from '../../types.ts';

/** Pods stay off nodes with taints that they do not tolerate, and rather off those with PreferNoSchedule taints. */
export function taintToleration(): Plugin {
  return {
    name: 'TaintToleration',
    events: ['node-added', 'node-taints-changed'],
    weight: 3,
    filter(pod, node) {
      const taint = untoleratedTaint(node.node.spec?.taints, pod.pod.spec?.tolerations);
      return taint && { reasons: [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`], resolvable: false };
    },
    preScore: (_pod, nodes) => (nodes.some((node) => node.node.spec?.taints?.some(prefersNot)) ? undefined : 'skip'),
    score: (pod, node) => (node.node.spec?.taints ?? []).filter((taint) => prefersNot(taint) && !isTolerated(taint, pod.pod.spec?.tolerations)).length,
    normalize: (scores) => { scaleToHighest(scores, true); },
  };
}

function prefersNot(taint: Taint): boolean {
  return taint.effect === 'PreferNoSchedule';
}
