import type { MatchCondition, ValidatingAdmissionPolicySpec } from '../gen/types.ts';
import { compile } from '../cel/cel.ts';
import { bool, dyn, list, map, string, type CelType, type ObjectField } from '../cel/types.ts';
import type { FieldError } from '../meta/field-error.ts';
import { AdmissionExpressions, expressionErrors, type KnownTypes } from './expressions.ts';

const library = new AdmissionExpressions();

function objectType(name: string, fields: Readonly<Record<string, CelType>>): CelType {
  return { kind: 'object', name, fields: new Map(Object.entries(fields).map(([json, type]) => [json, { type, json }])) };
}

const kindType = objectType('kubernetes.GroupVersionKind', { group: string, version: string, kind: string });
const resourceType = objectType('kubernetes.GroupVersionResource', { group: string, version: string, resource: string });

/** What an AdmissionReview says of a request, its objects aside: those are named by themselves. */
const request = objectType('kubernetes.AdmissionRequest', {
  kind: kindType, resource: resourceType, subResource: string, requestKind: kindType, requestResource: resourceType, requestSubResource: string,
  name: string, namespace: string, operation: string, dryRun: bool, options: dyn,
  userInfo: objectType('kubernetes.UserInfo', { username: string, uid: string, groups: list(string), extra: map(string, list(string)) }),
});

export function conditionErrors(conditions: readonly MatchCondition[], field: string, forPolicy: boolean): FieldError[] {
  return conditions.flatMap(({ expression }, i) => expressionErrors(`${field}[${i}].expression`, expression, (text) => library.condition(text, forPolicy, { request })));
}

/** Every expression of a policy. A variable may be spoken of after it. */
export function policyErrors({ validations = [], variables = [], auditAnnotations = [], matchConditions = [] }: ValidatingAdmissionPolicySpec): FieldError[] {
  const fields = new Map<string, ObjectField>();
  const known: KnownTypes = { request, variables: { kind: 'object', name: 'kubernetes.variables', fields } };
  const errorsOfVariables = variables.flatMap(({ name, expression }, i) => {
    let type = dyn;
    const errors = expressionErrors(`spec.variables[${i}].expression`, expression, (text) => {
      const program = library.variable(text, known);
      ({ type } = program);
      return program;
    });
    fields.set(name, { type, json: name });
    return errors;
  });
  return [
    ...conditionErrors(matchConditions, 'spec.matchConditions', true), ...errorsOfVariables,
    ...validations.flatMap(({ expression, messageExpression }, i) => [
      ...expressionErrors(`spec.validations[${i}].expression`, expression, (text) => library.condition(text, true, known)),
      ...(messageExpression ? expressionErrors(`spec.validations[${i}].messageExpression`, messageExpression, (text) => library.message(text, known)) : []),
    ]),
    ...auditAnnotations.flatMap(({ valueExpression }, i) => expressionErrors(`spec.auditAnnotations[${i}].valueExpression`, valueExpression, (text) => library.annotation(text, known))),
  ];
}

/** A selector sees one device, of which is known only what its driver says. */
export function deviceErrors(expression: string, field: string): FieldError[] {
  return expressionErrors(field, expression, (text) => compile(text, { variables: { device: dyn } }, bool));
}
