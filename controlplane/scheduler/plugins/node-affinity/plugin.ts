import type { NodeAffinity, NodeSelectorTerm, PodSpec } from '#api/gen/types.ts';
import { validateAffinity } from '#api/pod-spec/affinity.ts';
import { matchesNode, matchesTerm, type NodeIdentity } from '#api/pod-spec/node-selector.ts';
import { PluginArgs } from '../../plugin-args.ts';
import { scaleToHighest } from '../../scores.ts';
import type { Plugin, PluginHandle, Rejection } from '../../types.ts';

const refused: Rejection = { reasons: ["node(s) didn't match Pod's node affinity/selector"], resolvable: false };

const enforced: Rejection = { reasons: ["node(s) didn't match scheduler-enforced node affinity"], resolvable: false };

/** nodeSelector and node affinity, the pod's and what the profile adds for all: required terms filter, preferred ones score. */
export function nodeAffinity({ args }: Partial<PluginHandle> = {}): Plugin {
  const added = readAdded(args);
  const addedTerms = added?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const addedPreferred = added?.preferredDuringSchedulingIgnoredDuringExecution ?? [];
  const isLetBe = (node: NodeIdentity): boolean => addedTerms === undefined || addedTerms.some((term) => matchesTerm(term, node));
  const preferred = (spec: PodSpec | undefined): typeof addedPreferred => [...preferredOf(spec), ...addedPreferred];
  return {
    name: 'NodeAffinity',
    events: ['node-added', 'node-labels-changed'],
    helps: (pod, { node }) => node === undefined || (isLetBe(node) && matchesNode(pod.pod.spec, node)),
    weight: 2,
    preFilter(pod) {
      const spec = pod.pod.spec;
      const terms = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
      if (addedTerms === undefined && !terms && Object.keys(spec?.nodeSelector ?? {}).length === 0) return 'skip';
      const names = terms && namesOf(terms);
      return names && { nodes: names };
    },
    filter: (pod, node) => (!isLetBe(node) ? enforced : matchesNode(pod.pod.spec, node) ? undefined : refused),
    preScore: (pod) => (preferred(pod.pod.spec).length === 0 ? 'skip' : undefined),
    score(pod, node) {
      let total = 0;
      for (const { preference, weight } of preferred(pod.pod.spec)) if (matchesTerm(preference, node)) total += weight;
      return total;
    },
    normalize: (scores) => { scaleToHighest(scores); },
  };
}

/** `addedAffinity` of the plugin's arguments: what no pod of the profile need ask for itself. */
function readAdded(all: PluginHandle['args']): NodeAffinity | undefined {
  const args = new PluginArgs(all, 'NodeAffinity', ['addedAffinity']);
  const given = args.map('addedAffinity') as NodeAffinity | undefined;
  if (given === undefined) return undefined;
  let problems: string[];
  try {
    problems = validateAffinity({ nodeAffinity: given }, 'addedAffinity').map(({ field, message }) => `${field.replace('addedAffinity.nodeAffinity', 'addedAffinity')}: ${message}`);
  } catch {
    problems = ['addedAffinity: it is no node affinity'];
  }
  const [problem] = problems;
  if (problem !== undefined) throw args.wrong('addedAffinity', `makes no sense: ${problem}`);
  return given;
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
