import type { ClusterRoleBinding } from '../../gen/types.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { bindingColumns, defaultBinding, validateBinding } from '../rbac-rules.ts';
import { clusterRoleBindings } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

export const clusterRoleBinding: KindDefinition<ClusterRoleBinding> = {
  resource: clusterRoleBindings,
  singular: 'clusterrolebinding',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('ClusterRoleBinding'),
  storage: 'durable',
  status: false,
  nameRule: 'path-segment',
  setDefaults: defaultBinding,
  validate: (object, old) => validateBinding(object, old, false),
  selectableFields: {},
  columns: bindingColumns(),
};
