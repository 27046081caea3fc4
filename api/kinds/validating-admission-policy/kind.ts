import type { Validation, ValidatingAdmissionPolicy, Variable } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import { duplicate, invalid, required, type FieldError } from '../../meta/field-error.ts';
import { qualifiedName } from '../../meta/names.ts';
import { requiredNamed, supported, supportedIfSet } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { setMatchDefaults, validateConditions, validateMatch } from '../admission-rules.ts';
import { loadChecks, policyErrors } from '../expression-checks.ts';
import { validatingAdmissionPolicies } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

const reasons = ['Forbidden', 'Invalid', 'RequestEntityTooLarge', 'Unauthorized'];
const nothingSaid = 'validations or auditAnnotations must contain at least one item';

function setDefaults({ spec }: ValidatingAdmissionPolicy): void {
  if (spec === undefined) return;
  spec.failurePolicy ??= 'Fail';
  setMatchDefaults(spec.matchConstraints);
}

function validateValidation({ expression, message, messageExpression, reason }: Validation, field: string): FieldError[] {
  return [
    ...((expression ?? '').trim() === '' ? [required(`${field}.expression`, 'expression is not specified')] : []),
    ...(messageExpression !== undefined && messageExpression.trim() === '' ? [invalid(`${field}.messageExpression`, '', 'must be non-empty if specified')] : []),
    ...(message !== undefined && message.trim() === '' ? [invalid(`${field}.message`, message, 'message must be non-empty if specified')] : []),
    ...(message?.trim().includes('\n') ? [invalid(`${field}.message`, message, 'message must not contain line breaks')] : []),
    ...(expression?.trim().includes('\n') && message === undefined && messageExpression === undefined ? [required(`${field}.message`, 'message must be specified if expression contains line breaks')] : []),
    ...supportedIfSet(`${field}.reason`, reason, reasons),
  ];
}

function validateVariables(variables: readonly Variable[], field: string): FieldError[] {
  const names = variables.map(({ name }) => name);
  return variables.flatMap(({ name, expression }, i) => [
    ...requiredNamed(`${field}[${i}].name`, name, (text) => (/^[_a-zA-Z][_a-zA-Z0-9]*$/.test(text) ? undefined : 'name is not a valid CEL identifier')),
    ...(name && names.indexOf(name) < i ? [duplicate(`${field}[${i}].name`, name)] : []),
    ...((expression ?? '').trim() === '' ? [required(`${field}[${i}].expression`, 'expression is not specified')] : []),
  ]);
}

function validate({ spec }: ValidatingAdmissionPolicy, old?: ValidatingAdmissionPolicy): FieldError[] {
  if (spec === undefined) return [required('spec.matchConstraints')];
  const { validations = [], auditAnnotations = [], matchConstraints, paramKind } = spec;
  const errors = supported('spec.failurePolicy', spec.failurePolicy, ['Fail', 'Ignore']);
  if (paramKind !== undefined) {
    if (!paramKind.apiVersion) errors.push(required('spec.paramKind.apiVersion'));
    if (!paramKind.kind) errors.push(required('spec.paramKind.kind'));
  }
  if (matchConstraints === undefined) errors.push(required('spec.matchConstraints'));
  else {
    errors.push(...validateMatch(matchConstraints, 'spec.matchConstraints'));
    if ((matchConstraints.resourceRules ?? []).length === 0) errors.push(required('spec.matchConstraints.resourceRules'));
  }
  if (validations.length === 0 && auditAnnotations.length === 0) errors.push(required('spec.validations', nothingSaid), required('spec.auditAnnotations', nothingSaid));
  return [
    ...errors, ...(equal(spec, old?.spec) ? [] : policyErrors(spec)), ...validateConditions(spec.matchConditions ?? [], 'spec.matchConditions'), ...validateVariables(spec.variables ?? [], 'spec.variables'),
    ...validations.flatMap((validation, i) => validateValidation(validation, `spec.validations[${i}]`)),
    ...auditAnnotations.flatMap(({ key, valueExpression }, i) => [...requiredNamed(`spec.auditAnnotations[${i}].key`, key, qualifiedName), ...((valueExpression ?? '').trim() === '' ? [required(`spec.auditAnnotations[${i}].valueExpression`, 'valueExpression is not specified')] : [])]),
  ];
}

export const validatingAdmissionPolicy: KindDefinition<ValidatingAdmissionPolicy> = {
  resource: validatingAdmissionPolicies,
  singular: 'validatingadmissionpolicy',
  shortNames: [],
  categories: ['api-extensions'],
  schema: () => schemaNamed('ValidatingAdmissionPolicy'),
  storage: 'durable',
  status: true,
  nameRule: 'dns-subdomain',
  setDefaults,
  prepareForCreate: (object) => { object.status = {}; },
  prepareToValidate: () => loadChecks(true),
  validate,
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Validations', 'How many there are', ({ spec }) => (spec?.validations ?? []).length, 'integer'),
    column('ParamKind', 'Kind of its parameters', ({ spec }) => (spec?.paramKind ? `${spec.paramKind.apiVersion ?? ''}/${spec.paramKind.kind ?? ''}` : '<unset>')),
    ageColumn(),
  ],
};
