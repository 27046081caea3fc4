import type { ClusterRole } from '../../gen/types.ts';
import { required, type FieldError } from '../../meta/field-error.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { validateLabelSelector } from '../../meta/selectors.ts';
import { roleColumns, validateRules } from '../rbac-rules.ts';
import { clusterRoles } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate({ rules, aggregationRule }: ClusterRole): FieldError[] {
  if (!aggregationRule) return validateRules(rules, false);
  const path = 'aggregationRule.clusterRoleSelectors';
  const selectors = aggregationRule.clusterRoleSelectors ?? [];
  const errors = selectors.length > 0 ? selectors.flatMap((selector, i) => validateLabelSelector(selector, `${path}[${String(i)}]`)) : [required(path, 'at least one clusterRoleSelector required if aggregationRule is non-nil')];
  return [...validateRules(rules, false), ...errors];
}

export const clusterRole: KindDefinition<ClusterRole> = {
  resource: clusterRoles,
  singular: 'clusterrole',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('ClusterRole'),
  storage: 'durable',
  status: false,
  nameRule: 'path-segment',
  validate,
  selectableFields: {},
  columns: roleColumns(),
};
