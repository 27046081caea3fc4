import type { Lease } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { invalid, type FieldError } from '../../meta/field-error.ts';
import { notNegative } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { leases } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate({ spec }: Lease): FieldError[] {
  const seconds = spec?.leaseDurationSeconds;
  return [
    ...(seconds !== undefined && seconds <= 0 ? [invalid('spec.leaseDurationSeconds', seconds, 'must be greater than 0')] : []),
    ...notNegative('spec.leaseTransitions', spec?.leaseTransitions),
  ];
}

export const lease: KindDefinition<Lease> = {
  resource: leases,
  singular: 'lease',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('Lease'),
  storage: 'volatile',
  status: false,
  nameRule: 'dns-subdomain',
  validate,
  selectableFields: {},
  columns: [nameColumn(), column('Holder', 'Who holds it', ({ spec }) => spec?.holderIdentity ?? ''), ageColumn()],
};
