import type { NodeAffinity, NodeSelectorTerm, PodSpec } from '../../gen/types.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, invalid, type FieldError } from '../../meta/field-error.ts';

const onlyAdditions = 'only additions are allowed (no mutations or deletions)';

/** Until its gates open a pod may be narrowed to fewer nodes, and nothing else. Affinity between pods is not in question here. */
export function validateGatedPlacement(spec: PodSpec, before: PodSpec): FieldError[] {
  const selector = spec.nodeSelector ?? {};
  const kept = Object.entries(before.nodeSelector ?? {}).every(([key, value]) => Object.hasOwn(selector, key) && selector[key] === value);
  const errors = kept ? [] : [forbidden('spec.nodeSelector', 'only additions to spec.nodeSelector are allowed (no mutations or deletions)')];
  const old = before.affinity?.nodeAffinity;
  return old === undefined ? errors : [...errors, ...validateAffinityMutation(spec.affinity?.nodeAffinity, old)];
}

function validateAffinityMutation(now: NodeAffinity | undefined, old: NodeAffinity): FieldError[] {
  const before = old.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  if (before.length === 0) return [];
  const field = 'spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms';
  const terms = now?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  if (terms.length !== before.length) return [invalid(field, terms, 'no additions/deletions to non-empty NodeSelectorTerms list are allowed')];
  return terms.flatMap((term, i) => (before[i] === undefined || narrows(term, before[i]) ? [] : [invalid(`${field}[${i}]`, term, onlyAdditions)]));
}

/** An empty term selects nothing; whatever is added to it would select more. */
function narrows(term: NodeSelectorTerm, before: NodeSelectorTerm): boolean {
  const empty = (before.matchExpressions ?? []).length + (before.matchFields ?? []).length === 0;
  if (empty) return equal(term, before);
  return (['matchExpressions', 'matchFields'] as const).every((list) => (before[list] ?? []).every((requirement, i) => equal(term[list]?.[i], requirement)));
}
