import type { ResourceClaimTemplate } from '../../gen/types.ts';
import { ageColumn, nameColumn } from '../../meta/columns.ts';
import type { FieldError } from '../../meta/field-error.ts';
import { validateAnnotations, validateLabels } from '../../meta/metadata.ts';
import { immutable } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { setClaimDefaults, validateClaimSpec } from '../device-rules.ts';
import { loadChecks } from '../expression-checks.ts';
import { resourceClaimTemplates } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

function validate({ spec }: ResourceClaimTemplate, old?: ResourceClaimTemplate): FieldError[] {
  if (old !== undefined) return immutable('spec', spec, old.spec);
  const { labels, annotations } = spec?.metadata ?? {};
  return [...validateLabels(labels, 'spec.metadata.labels'), ...validateAnnotations(annotations, 'spec.metadata.annotations'), ...validateClaimSpec(spec?.spec ?? {}, 'spec.spec')];
}

export const resourceClaimTemplate: KindDefinition<ResourceClaimTemplate> = {
  resource: resourceClaimTemplates,
  singular: 'resourceclaimtemplate',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('ResourceClaimTemplate'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  setDefaults: ({ spec }) => { setClaimDefaults(spec?.spec); },
  prepareToValidate: () => loadChecks(true),
  validate,
  selectableFields: {},
  columns: [nameColumn(), ageColumn()],
};
