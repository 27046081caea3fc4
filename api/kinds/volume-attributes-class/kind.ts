import type { VolumeAttributesClass } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, type FieldError } from '../../meta/field-error.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { volumeAttributesClasses } from '../resources.ts';
import { validateDriverName, validateParameters } from '../storage-rules.ts';
import type { KindDefinition } from '../types.ts';

function validate(object: VolumeAttributesClass, old?: VolumeAttributesClass): FieldError[] {
  const errors = [...validateDriverName(object.driverName, 'driverName'), ...validateParameters(object.parameters, 'parameters', true)];
  for (const field of ['driverName', 'parameters'] as const) {
    if (old !== undefined && !equal(object[field], old[field])) errors.push(forbidden(field, `updates to ${field} are forbidden.`));
  }
  return errors;
}

export const volumeAttributesClass: KindDefinition<VolumeAttributesClass> = {
  resource: volumeAttributesClasses,
  singular: 'volumeattributesclass',
  shortNames: ['vac'],
  categories: [],
  schema: () => schemaNamed('VolumeAttributesClass'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  validate,
  selectableFields: {},
  columns: [nameColumn(), column('DriverName', 'Driver that knows its parameters', ({ driverName }) => driverName ?? ''), ageColumn()],
};
