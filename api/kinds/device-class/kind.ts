import type { DeviceClass } from '../../gen/types.ts';
import { ageColumn, nameColumn } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import type { FieldError } from '../../meta/field-error.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { validateClassConfig, validateSelectors } from '../device-rules.ts';
import { loadChecks } from '../expression-checks.ts';
import { deviceClasses } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate({ spec }: DeviceClass, old?: DeviceClass): FieldError[] {
  const { selectors = [], config = [] } = spec ?? {};
  return [
    // What is kept stays valid, whatever the library becomes.
    ...(old !== undefined && equal(selectors, old.spec?.selectors ?? []) ? [] : validateSelectors(selectors, 'spec.selectors')),
    ...validateClassConfig(config, 'spec.config'),
  ];
}

export const deviceClass: KindDefinition<DeviceClass> = {
  resource: deviceClasses,
  singular: 'deviceclass',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('DeviceClass'),
  storage: 'durable',
  status: false,
  generation: true,
  nameRule: 'dns-subdomain',
  prepareToValidate: ({ spec }) => loadChecks((spec?.selectors ?? []).length > 0),
  validate,
  selectableFields: {},
  columns: [nameColumn(), ageColumn()],
};
