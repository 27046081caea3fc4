import type { IngressClass, IngressClassParametersReference } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { forbidden, invalid, required, tooLong, type FieldError } from '../../meta/field-error.ts';
import { dns1123Label, dns1123Subdomain, domainPrefixedPath, pathSegment } from '../../meta/names.ts';
import { immutable, named, requiredNamed, supported } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { ingressClasses } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

const maxController = 250;

function validateParameters({ apiGroup, kind, name, scope, namespace }: IngressClassParametersReference, field: string): FieldError[] {
  const errors = [
    ...(apiGroup === undefined ? [] : named(`${field}.apiGroup`, apiGroup, dns1123Subdomain)),
    ...requiredNamed(`${field}.kind`, kind, pathSegment), ...requiredNamed(`${field}.name`, name, pathSegment),
    ...supported(`${field}.scope`, scope, ['Cluster', 'Namespace']),
  ];
  if (scope === 'Cluster' && namespace !== undefined) errors.push(forbidden(`${field}.namespace`, '`parameters.scope` is set to \'Cluster\''));
  if (scope === 'Namespace' && namespace === undefined) errors.push(required(`${field}.namespace`, '`parameters.scope` is set to \'Namespace\''));
  if (scope === 'Namespace' && namespace !== undefined) errors.push(...named(`${field}.namespace`, namespace, dns1123Label));
  return errors;
}

function validate({ spec }: IngressClass, old?: IngressClass): FieldError[] {
  const controller = spec?.controller ?? '';
  if (old !== undefined && old.spec?.controller !== spec?.controller) return immutable('spec.controller', controller, old.spec?.controller);
  const problem = domainPrefixedPath(controller);
  return [
    ...(controller.length > maxController ? [tooLong('spec.controller', maxController)] : []),
    ...(controller === '' ? [required('spec.controller')] : problem === undefined ? [] : [invalid('spec.controller', controller, problem)]),
    ...(spec?.parameters === undefined ? [] : validateParameters(spec.parameters, 'spec.parameters')),
  ];
}

function parameters({ spec }: IngressClass): string {
  const { kind, apiGroup, name } = spec?.parameters ?? {};
  return kind === undefined ? '<none>' : `${kind}${apiGroup === undefined ? '' : `.${apiGroup}`}/${name ?? ''}`;
}

export const ingressClass: KindDefinition<IngressClass> = {
  resource: ingressClasses,
  singular: 'ingressclass',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('IngressClass'),
  storage: 'durable',
  status: false,
  generation: true,
  nameRule: 'dns-subdomain',
  setDefaults: ({ spec }) => { if (spec?.parameters) spec.parameters.scope ??= 'Cluster'; },
  validate,
  selectableFields: {},
  columns: [nameColumn(), column('Controller', 'Who serves it', ({ spec }) => spec?.controller ?? ''), column('Parameters', 'What the controller is told beside it', parameters), ageColumn()],
};
