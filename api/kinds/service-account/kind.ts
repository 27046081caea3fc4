import type { ServiceAccount } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { serviceAccounts } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

const mountableSecrets = 'kubernetes.io/enforce-mountable-secrets';

export const serviceAccount: KindDefinition<ServiceAccount> = {
  resource: serviceAccounts,
  singular: 'serviceaccount',
  shortNames: ['sa'],
  categories: [],
  schema: () => schemaNamed('ServiceAccount'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  warnings: ({ metadata }) => (metadata?.annotations?.[mountableSecrets] === undefined ? [] : [`metadata.annotations[${mountableSecrets}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets`]),
  selectableFields: {},
  columns: [nameColumn(), column('Secrets', 'How many secrets it names', ({ secrets }) => (secrets ?? []).length, 'integer'), ageColumn()],
};
