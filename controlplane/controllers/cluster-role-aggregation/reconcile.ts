import type { ClusterRole, PolicyRule } from '#api/gen/types.ts';
import { clusterRoles } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import type { Action } from '../types.ts';

/** An aggregated role has the rules of all roles that its selectors match, in the order of their names, each rule once. */
export function reconcileAggregation(role: ClusterRole | undefined, all: readonly ClusterRole[]): Action[] {
  const selectors = role?.aggregationRule?.clusterRoleSelectors;
  if (!role || !selectors || role.metadata?.deletionTimestamp !== undefined) return [];
  const name = role.metadata?.name ?? '';
  const rules: PolicyRule[] = [];
  // A role that is matched by two selectors comes with the first.
  const seen = new Set([name]);
  for (const requirements of selectors.map((selector) => requirementsOf(selector))) {
    const matched = all.filter(({ metadata }) => matchesLabels(requirements, metadata?.labels)).sort((a, b) => ((a.metadata?.name ?? '') < (b.metadata?.name ?? '') ? -1 : 1));
    for (const { metadata, rules: more = [] } of matched) {
      if (seen.has(metadata?.name ?? '')) continue;
      seen.add(metadata?.name ?? '');
      for (const rule of more) if (!rules.some((known) => equal(known, rule))) rules.push(rule);
    }
  }
  if (equal(rules, role.rules ?? [])) return [];
  return [{ type: 'update', resource: clusterRoles, object: { ...role, rules } as ClusterRole }];
}
