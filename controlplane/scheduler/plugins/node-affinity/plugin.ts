import type { NodeSelectorTerm, PodSpec } from '#api/gen/types.ts';
import { matchesNode, matchesTerm } from '../../node-selector.ts';
import { scaleToHighest } from '../../scores.ts';
import type { Plugin, Rejection } from '../../types.ts';

const refused: Rejection = { reasons: ["node(s) didn't match Pod's node affinity/selector"], resolvable: false };

/** nodeSelector and node affinity: required terms filter, preferred ones score. */
export function nodeAffinity(): Plugin {
  return {
    name: 'NodeAffinity',
    events: ['node-added', 'node-labels-changed'],
    helps: (pod, { node }) => node === undefined || matchesNode(pod.pod.spec, node),
    weight: 2,
    preFilter(pod) {
      const spec = pod.pod.spec;
      const terms = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
      if (!terms && Object.keys(spec?.nodeSelector ?? {}).length === 0) return 'skip';
      const names = terms && namesOf(terms);
      return names && { nodes: names };
    },
    filter: (pod, node) => (matchesNode(pod.pod.spec, node) ? undefined : refused),
    preScore: (pod) => (preferredOf(pod.pod.spec).length === 0 ? 'skip' : undefined),
    score(pod, node) {
      let total = 0;
      for (const { preference, weight } of preferredOf(pod.pod.spec)) if (matchesTerm(preference, node)) total += weight;
      return total;
    },
    normalize: (scores) => { scaleToHighest(scores); },
  };
}

function preferredOf(spec: PodSpec | undefined) {
  return spec?.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
}

/** The nodes that the terms name (as a DaemonSet's pods do), when every term names some: saves looking at the rest. */
function namesOf(terms: readonly NodeSelectorTerm[]): ReadonlySet<string> | undefined {
  const all = new Set<string>();
  for (const term of terms) {
    const fields = (term.matchFields ?? []).filter((field) => field.key === 'metadata.name' && field.operator === 'In');
    const [first, ...rest] = fields.map((field) => new Set(field.values));
    if (!first) return undefined;
    for (const name of first) if (rest.every((set) => set.has(name))) all.add(name);
  }
  return terms.length > 0 ? all : undefined;
}
