import type { CSIStorageCapacity } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { invalid, type FieldError } from '../../meta/field-error.ts';
import { dns1123Subdomain } from '../../meta/names.ts';
import { isQuantity, parseQuantity } from '../../meta/quantity.ts';
import { immutable, requiredNamed } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { keyWarnings, labelWarnings } from '../../pod-spec/warnings.ts';
import { validateLabelSelector } from '../../meta/selectors.ts';
import { csiStorageCapacities } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate(object: CSIStorageCapacity, old?: CSIStorageCapacity): FieldError[] {
  const size = (field: 'capacity' | 'maximumVolumeSize'): FieldError[] => {
    const value = object[field];
    return value !== undefined && isQuantity(value) && parseQuantity(value) < 0n ? [invalid(field, value, 'must be greater than or equal to 0')] : [];
  };
  return [
    ...validateLabelSelector(object.nodeTopology, 'nodeTopology'),
    ...requiredNamed('storageClassName', object.storageClassName, dns1123Subdomain),
    ...size('capacity'), ...size('maximumVolumeSize'),
    ...(old === undefined ? [] : [...immutable('nodeTopology', object.nodeTopology, old.nodeTopology), ...immutable('storageClassName', object.storageClassName, old.storageClassName)]),
  ];
}

export const csiStorageCapacity: KindDefinition<CSIStorageCapacity> = {
  resource: csiStorageCapacities,
  singular: 'csistoragecapacity',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('CSIStorageCapacity'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  validate,
  warnings: ({ nodeTopology }) => [...keyWarnings(nodeTopology?.matchExpressions, 'nodeTopology.matchExpressions'), ...labelWarnings(nodeTopology?.matchLabels, (key) => `nodeTopology.matchLabels.${key}`)],
  selectableFields: {},
  columns: [
    nameColumn(),
    column('StorageClassName', 'Class that it is about', ({ storageClassName }) => storageClassName ?? ''),
    column('Capacity', 'What can still be had', ({ capacity }) => capacity ?? '<unset>'),
    ageColumn(),
  ],
};
