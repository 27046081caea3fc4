import type { NodeSelectorRequirement, NodeSelectorTerm, PodSpec } from '../gen/types.ts';

/** What matching needs of a node. */
export interface NodeIdentity {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** True when the node satisfies the pod's nodeSelector and its required node affinity. */
export function matchesNode(spec: PodSpec | undefined, node: NodeIdentity): boolean {
  const selector = spec?.nodeSelector;
  if (selector) {
    for (const key in selector) if (node.labels[key] !== selector[key]) return false;
  }
  const required = spec?.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return required === undefined || required.nodeSelectorTerms.some((term) => matchesTerm(term, node));
}

/** Requirements of one term are ANDed; a term without any matches nothing. */
export function matchesTerm(term: NodeSelectorTerm, node: NodeIdentity): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  return matchExpressions.every((requirement) => matchesValue(requirement, node.labels[requirement.key]))
    && matchFields.every((requirement) => matchesValue(requirement, requirement.key === 'metadata.name' ? node.name : undefined));
}

function matchesValue({ operator, values = [] }: NodeSelectorRequirement, value: string | undefined): boolean {
  switch (operator) {
    case 'In': return value !== undefined && values.includes(value);
    case 'NotIn': return value === undefined || !values.includes(value);
    case 'Exists': return value !== undefined;
    case 'DoesNotExist': return value === undefined;
    case 'Gt': return compares(value, values[0], (a, b) => a > b);
    case 'Lt': return compares(value, values[0], (a, b) => a < b);
    default: return false;
  }
}

const integer = /^[+-]?\d+$/;

function compares(value: string | undefined, bound: string | undefined, holds: (a: bigint, b: bigint) => boolean): boolean {
  return value !== undefined && bound !== undefined && integer.test(value) && integer.test(bound) && holds(BigInt(value), BigInt(bound));
}
