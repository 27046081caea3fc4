import type { ResourceQuota } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { resourceQuotas } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { validateQuota, validateQuotaStatus } from './validate.ts';

/** `pods: 3/10, requests.cpu: 500m/2`. */
function usage({ status }: ResourceQuota, limits: boolean): string {
  const hard = status?.hard ?? {};
  return Object.keys(hard).filter((name) => name.startsWith('limits.') === limits).sort()
    .map((name) => `${name}: ${status?.used?.[name] ?? '0'}/${hard[name] ?? '0'}`).join(', ');
}

export const resourceQuota: KindDefinition<ResourceQuota> = {
  resource: resourceQuotas,
  singular: 'resourcequota',
  shortNames: ['quota'],
  categories: [],
  schema: () => schemaNamed('ResourceQuota'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'dns-subdomain',
  prepareForCreate: (object) => { object.status = {}; },
  validate: validateQuota,
  validateStatus: validateQuotaStatus,
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Request', 'What is used of what may be, but for limits', (object) => usage(object, false)),
    column('Limit', 'What is used of the sum of limits', (object) => usage(object, true)),
    ageColumn(),
  ],
};
