import type { MatchCondition, ValidatingAdmissionPolicySpec } from '../gen/types.ts';
import { compile } from '../cel/cel.ts';
import { bool, dyn } from '../cel/types.ts';
import type { FieldError } from '../meta/field-error.ts';
import { AdmissionExpressions, expressionErrors } from './expressions.ts';

const library = new AdmissionExpressions();

export function conditionErrors(conditions: readonly MatchCondition[], field: string, forPolicy: boolean): FieldError[] {
  return conditions.flatMap(({ expression }, i) => expressionErrors(`${field}[${i}].expression`, expression, (text) => library.condition(text, forPolicy)));
}

/** Every expression of a policy. */
export function policyErrors({ validations = [], variables = [], auditAnnotations = [], matchConditions = [] }: ValidatingAdmissionPolicySpec): FieldError[] {
  return [
    ...conditionErrors(matchConditions, 'spec.matchConditions', true),
    ...variables.flatMap(({ expression }, i) => expressionErrors(`spec.variables[${i}].expression`, expression, (text) => library.variable(text))),
    ...validations.flatMap(({ expression, messageExpression }, i) => [
      ...expressionErrors(`spec.validations[${i}].expression`, expression, (text) => library.condition(text, true)),
      ...(messageExpression ? expressionErrors(`spec.validations[${i}].messageExpression`, messageExpression, (text) => library.message(text)) : []),
    ]),
    ...auditAnnotations.flatMap(({ valueExpression }, i) => expressionErrors(`spec.auditAnnotations[${i}].valueExpression`, valueExpression, (text) => library.annotation(text))),
  ];
}

/** A selector sees one device, of which is known only what its driver says. */
export function deviceErrors(expression: string, field: string): FieldError[] {
  return expressionErrors(field, expression, (text) => compile(text, { variables: { device: dyn } }, bool));
}
