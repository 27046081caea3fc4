import type { RoleBinding } from '../../gen/types.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { bindingColumns, defaultBinding, validateBinding } from '../rbac-rules.ts';
import { roleBindings } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

export const roleBinding: KindDefinition<RoleBinding> = {
  resource: roleBindings,
  singular: 'rolebinding',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('RoleBinding'),
  storage: 'durable',
  status: false,
  nameRule: 'path-segment',
  setDefaults: defaultBinding,
  validate: (object, old) => validateBinding(object, old, true),
  selectableFields: {},
  columns: bindingColumns(),
};
