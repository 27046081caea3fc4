import type { MatchCondition, ValidatingAdmissionPolicySpec } from '../gen/types.ts';
import type { FieldError } from '../meta/field-error.ts';

interface Checks {
  readonly conditionErrors: (conditions: readonly MatchCondition[], field: string, forPolicy: boolean) => FieldError[];
  readonly policyErrors: (spec: ValidatingAdmissionPolicySpec) => FieldError[];
  readonly deviceErrors: (expression: string, field: string) => FieldError[];
}

/** CEL, kept once some object has asked for it: most clusters never do. */
let checks: Checks | undefined;

/** For `prepareToValidate` of kinds that hold expressions. */
export function loadChecks(needed: boolean): Promise<void> | undefined {
  return needed && checks === undefined ? import('../admission/checks.ts').then((module) => { checks = module; }) : undefined;
}

/** Asked only of what is new: a stored expression stays valid, whatever the library becomes. */
export function conditionErrors(conditions: readonly MatchCondition[], field: string): FieldError[] {
  return checks?.conditionErrors(conditions, field, false) ?? [];
}

export function policyErrors(spec: ValidatingAdmissionPolicySpec): FieldError[] {
  return checks?.policyErrors(spec) ?? [];
}

/** Of a selector of devices. */
export function deviceExpressionErrors(expression: string, field: string): FieldError[] {
  return checks?.deviceErrors(expression, field) ?? [];
}
