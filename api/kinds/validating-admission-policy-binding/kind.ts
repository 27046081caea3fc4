import type { ParamRef, ValidatingAdmissionPolicyBinding } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { duplicate, forbidden, invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import { dns1123Subdomain } from '../../meta/names.ts';
import { named, requiredNamed, supported } from '../../meta/rules.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { formatLabelSelector, requirementsOf } from '../../meta/selectors.ts';
import { setMatchDefaults, validateMatch, validateSelector } from '../admission-rules.ts';
import { validatingAdmissionPolicyBindings } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

const actions = ['Audit', 'Deny', 'Warn'];

function validateParams({ name, selector, parameterNotFoundAction }: ParamRef, field: string): FieldError[] {
  const errors = name ? named(`${field}.name`, name, dns1123Subdomain) : [];
  if (name && selector !== undefined) errors.push(forbidden(`${field}.name`, 'name and selector are mutually exclusive'));
  if (!name && selector === undefined) errors.push(required(field, 'one of name or selector must be specified'));
  return [...errors, ...validateSelector(selector, `${field}.selector`), ...supported(`${field}.parameterNotFoundAction`, parameterNotFoundAction, ['Allow', 'Deny'])];
}

function validate({ spec }: ValidatingAdmissionPolicyBinding): FieldError[] {
  const given = spec?.validationActions ?? [];
  const errors = [
    ...requiredNamed('spec.policyName', spec?.policyName, dns1123Subdomain),
    ...(spec?.paramRef === undefined ? [] : validateParams(spec.paramRef, 'spec.paramRef')),
    ...(spec?.matchResources === undefined ? [] : validateMatch(spec.matchResources, 'spec.matchResources')),
  ];
  if (given.length === 0) errors.push(required('spec.validationActions', 'at least one validation action is required'));
  for (const [i, action] of given.entries()) {
    if (!actions.includes(action)) errors.push(notSupported(`spec.validationActions[${i}]`, action, actions));
    if (given.indexOf(action) < i) errors.push(duplicate(`spec.validationActions[${i}]`, action));
  }
  if (given.includes('Deny') && given.includes('Warn')) {
    errors.push(invalid('spec.validationActions', given, 'must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)'));
  }
  return errors;
}

function params({ spec }: ValidatingAdmissionPolicyBinding): string {
  const { name, namespace, selector } = spec?.paramRef ?? {};
  if (name) return `${namespace || '*'}/${name}`;
  return selector?.matchLabels ? formatLabelSelector(requirementsOf({ matchLabels: selector.matchLabels })) : '<unset>';
}

export const validatingAdmissionPolicyBinding: KindDefinition<ValidatingAdmissionPolicyBinding> = {
  resource: validatingAdmissionPolicyBindings,
  singular: 'validatingadmissionpolicybinding',
  shortNames: [],
  categories: ['api-extensions'],
  schema: () => schemaNamed('ValidatingAdmissionPolicyBinding'),
  storage: 'durable',
  status: false,
  generation: true,
  nameRule: 'dns-subdomain',
  setDefaults: ({ spec }) => { setMatchDefaults(spec?.matchResources); },
  validate,
  selectableFields: {},
  columns: [nameColumn(), column('PolicyName', 'Policy that it puts to work', ({ spec }) => spec?.policyName ?? ''), column('ParamRef', 'Its parameters', params), ageColumn()],
};
