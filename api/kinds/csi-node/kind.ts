import type { CSINode, CSINodeDriver } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import { duplicate, invalid, required, type FieldError } from '../../meta/field-error.ts';
import { qualifiedName } from '../../meta/names.ts';
import { named, notNegative } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { csiNodes } from '../resources.ts';
import { validateDriverName } from '../storage-rules.ts';
import type { KindDefinition } from '../types.ts';

const maxNodeId = 256;

function validateDriver({ name, nodeID, topologyKeys = [], allocatable }: CSINodeDriver, field: string): FieldError[] {
  const errors = validateDriverName(name, `${field}.name`);
  if (!nodeID) errors.push(required(`${field}.nodeID`));
  else if (nodeID.length > maxNodeId) errors.push(invalid(`${field}.nodeID`, nodeID, `must be ${maxNodeId} characters or less`));
  for (const [i, key] of topologyKeys.entries()) {
    errors.push(...(key === '' ? [required(`${field}.topologyKeys`)] : named(`${field}.topologyKeys`, key, qualifiedName)));
    if (topologyKeys.indexOf(key) < i) errors.push(duplicate(`${field}.topologyKeys`, key));
  }
  return [...errors, ...notNegative(`${field}.allocatable.count`, allocatable?.count)];
}

function validate({ spec }: CSINode, old?: CSINode): FieldError[] {
  const drivers = spec?.drivers ?? [];
  const names = drivers.map(({ name }) => name);
  const errors = drivers.flatMap((driver, i) => [...validateDriver(driver, `spec.drivers[${i}]`), ...(names.indexOf(driver.name) < i ? [duplicate(`spec.drivers[${i}].name`, driver.name)] : [])]);
  // A driver may go and come again; one that stays may only offer another number of volumes.
  for (const driver of drivers) {
    const before = old?.spec?.drivers?.find(({ name }) => name === driver.name);
    if (before !== undefined && !equal({ ...before, allocatable: undefined }, { ...driver, allocatable: undefined })) errors.push(invalid('CSINodeDriver', driver, 'field is immutable'));
  }
  return errors;
}

export const csiNode: KindDefinition<CSINode> = {
  resource: csiNodes,
  singular: 'csinode',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('CSINode'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  validate,
  selectableFields: {},
  columns: [nameColumn(), column('Drivers', 'How many storage drivers run on it', ({ spec }) => (spec?.drivers ?? []).length, 'integer'), ageColumn()],
};
