import type { CustomResourceDefinition, CustomResourceDefinitionStatus } from '../../gen/types.ts';
import { column, nameColumn } from '../../meta/columns.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { customResourceDefinitions } from '../resources.ts';
import type { KindDefinition } from '../types.ts';
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
  validate,
  validateStatus,
  deletionFinalizer: 'customresourcecleanup.apiextensions.k8s.io',
  selectableFields: {},
  columns: [nameColumn(), column('Created At', 'When the definition was created', ({ metadata }) => metadata?.creationTimestamp ?? '', 'date')],
};
