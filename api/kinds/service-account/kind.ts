import type { ServiceAccount } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { serviceAccounts } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

export const serviceAccount: KindDefinition<ServiceAccount> = {
  resource: serviceAccounts,
  singular: 'serviceaccount',
  shortNames: ['sa'],
  categories: [],
  schema: () => schemaNamed('ServiceAccount'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  selectableFields: {},
  columns: [nameColumn(), column('Secrets', 'How many secrets it names', ({ secrets }) => (secrets ?? []).length, 'integer'), ageColumn()],
};
