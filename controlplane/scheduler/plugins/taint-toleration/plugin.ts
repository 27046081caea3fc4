import { scaleToHighest } from '../../scores.ts';
import { isTolerated, untolerated } from '#api/pod-spec/tolerations.ts';
import type { Plugin } from '../../types.ts';

/** Pods stay off nodes with taints that they do not tolerate, and rather off those with PreferNoSchedule taints. */
export function taintToleration(): Plugin {
  return {
    name: 'TaintToleration',
    events: ['node-added', 'node-taints-changed'],
    helps: (pod, { node }) => node === undefined || untolerated(node.hardTaints, pod.pod.spec?.tolerations) === undefined,
    weight: 3,
    preFilter: (_pod, snapshot) => (snapshot.taintedNodes === 0 ? 'skip' : undefined),
    filter(pod, node) {
      const taint = untolerated(node.hardTaints, pod.pod.spec?.tolerations);
      return taint && { reasons: [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`], resolvable: false };
    },
    preScore: (_pod, nodes, snapshot) => (snapshot.softTaintedNodes > 0 && nodes.some((node) => node.softTaints.length > 0) ? undefined : 'skip'),
    score: (pod, node) => node.softTaints.filter((taint) => !isTolerated(taint, pod.pod.spec?.tolerations)).length,
    normalize: (scores) => { scaleToHighest(scores, true); },
  };
}
