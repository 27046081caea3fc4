import type { ResourceClaim } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { setClaimDefaults } from '../device-rules.ts';
import { loadChecks } from '../expression-checks.ts';
import { resourceClaims } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { hasSelectors, validateClaim, validateClaimStatus } from './validate.ts';

function state({ metadata, status }: ResourceClaim): string {
  const deleted = metadata?.deletionTimestamp === undefined ? [] : ['deleted'];
  if (status?.allocation === undefined) return deleted.length > 0 ? 'deleted' : 'pending';
  return [...deleted, 'allocated', ...(status.reservedFor?.length ? ['reserved'] : [])].join(',');
}

export const resourceClaim: KindDefinition<ResourceClaim> = {
  resource: resourceClaims,
  singular: 'resourceclaim',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('ResourceClaim'),
  storage: 'durable',
  status: true,
  generation: false,
  nameRule: 'dns-subdomain',
  setDefaults: ({ spec }) => { setClaimDefaults(spec); },
  prepareForCreate: (object) => { object.status = {}; },
  prepareToValidate: ({ spec }) => loadChecks(hasSelectors(spec)),
  validate: validateClaim,
  validateStatus: validateClaimStatus,
  selectableFields: {},
  columns: [nameColumn(), column('State', 'pending, or what has become of it', state), ageColumn()],
};
