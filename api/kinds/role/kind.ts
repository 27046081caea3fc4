import type { Role } from '../../gen/types.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { roleColumns, validateRules } from '../rbac-rules.ts';
import { roles } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

export const role: KindDefinition<Role> = {
  resource: roles,
  singular: 'role',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('Role'),
  storage: 'durable',
  status: false,
  nameRule: 'path-segment',
  validate: ({ rules }) => validateRules(rules, true),
  selectableFields: {},
  columns: roleColumns(),
};
