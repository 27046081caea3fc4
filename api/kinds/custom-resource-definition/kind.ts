import type { CustomResourceDefinition, CustomResourceDefinitionStatus } from '../../gen/types.ts';
import { rootSchema } from '../../custom/schema.ts';
import { column, nameColumn } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import type { FieldError } from '../../meta/field-error.ts';
import { isRecord } from '../../meta/json.ts';
import { schemaNamed, type Schema } from '../../meta/schema.ts';
import { customResourceDefinitions } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
import { validateVersionSchema } from './structural.ts';
import { validate, validateStatus } from './validate.ts';

function setDefaults({ spec }: CustomResourceDefinition): void {
  const { names } = spec ?? {};
  if (names?.kind) {
    names.singular ||= names.kind.toLowerCase();
    names.listKind ||= `${names.kind}List`;
  }
  for (const version of spec?.versions ?? []) {
    version.served ??= false;
    version.storage ??= false;
  }
  const conversion = spec && (spec.conversion ??= { strategy: 'None' });
  const service = conversion?.webhook?.clientConfig?.service;
  if (service) service.port ??= 443;
}

/** Once a version stores objects it is listed until somebody has made sure that none are left. */
function noteStorage(object: CustomResourceDefinition, status: CustomResourceDefinitionStatus | undefined): void {
  const storage = object.spec?.versions?.find((version) => version.storage)?.name;
  const stored = status?.storedVersions ?? [];
  object.status = { ...status, storedVersions: storage === undefined || stored.includes(storage) ? [...stored] : [...stored, storage] };
}

/** CEL, kept once some definition has asked for it: most clusters never do. */
let rules: { readonly ruleDefinitionErrors: (root: Schema, field: string) => FieldError[] } | undefined;

function hasRules({ spec }: CustomResourceDefinition): boolean {
  return JSON.stringify(spec?.versions ?? []).includes('"x-kubernetes-validations"');
}

/** Asked only of schemas that are sound otherwise, and new. */
function ruleErrors(object: CustomResourceDefinition, old: CustomResourceDefinition | undefined): FieldError[] {
  const { spec } = object;
  if (rules === undefined || !hasRules(object)) return [];
  return spec.versions.flatMap((version, i) => {
    const schema = version.schema?.openAPIV3Schema;
    const before = old?.spec?.versions?.find(({ name }) => name === version.name)?.schema?.openAPIV3Schema;
    const field = `spec.versions[${i}].schema.openAPIV3Schema`;
    if (!isRecord(schema) || rules === undefined || equal(schema, before) || validateVersionSchema(version, undefined, field).length > 0) return [];
    return rules.ruleDefinitionErrors(rootSchema(schema as Schema), field);
  });
}

export const customResourceDefinition: KindDefinition<CustomResourceDefinition> = {
  resource: customResourceDefinitions,
  singular: 'customresourcedefinition',
  shortNames: ['crd', 'crds'],
  categories: ['api-extensions'],
  schema: () => schemaNamed('CustomResourceDefinition'),
  storage: 'durable',
  status: true,
  nameRule: 'dns-subdomain',
  setDefaults,
  prepareForCreate: (object) => { noteStorage(object, undefined); },
  prepareForUpdate: (object, old) => { noteStorage(object, old.status); },
  validate: (object, old) => [...validate(object, old), ...ruleErrors(object, old)],
  validateStatus,
  prepareToValidate: (object) => (rules === undefined && hasRules(object) ? import('../../custom/rule-definitions.ts').then((loaded) => { rules = loaded; }) : undefined),
  deletionFinalizer: 'customresourcecleanup.apiextensions.k8s.io',
  selectableFields: {},
  columns: [nameColumn(), column('Created At', 'When the definition was created', ({ metadata }) => metadata?.creationTimestamp ?? '', 'date')],
};
