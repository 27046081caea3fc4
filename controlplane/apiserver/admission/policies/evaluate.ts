import { Budget, CelBudgetError, CelError, perObjectLimit, policyVariables, valueOf, type Facts, type Program } from '#api/admission/expressions.ts';
import type { Validation, ValidatingAdmissionPolicySpec } from '#api/gen/types.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Expressions } from '../expressions.ts';
import { matchConditions } from '../match-conditions.ts';

/** What speaks against a request. */
export interface Finding {
  readonly message: string;
  /** Kubernetes' reason of the refusal. */
  readonly reason: string;
  /** Which of the validations it is; -1 where it is none of them. */
  readonly index: number;
  /** The binding itself is wrong: that refuses the request, whatever the binding would do otherwise. */
  readonly misconfigured?: true;
}

/** What a policy makes of a request. */
export interface Verdict {
  readonly findings: readonly Finding[];
  /** For the audit log, by the policy's own keys. */
  readonly annotations: readonly (readonly [string, string])[];
}

export interface Surroundings { readonly params: unknown; readonly namespaceObject: unknown }

const maxMessageBytes = 5 << 10;

/** A policy on one request with one parameter object. Synchronous: run by `Expressions.answered`. */
export function judge(spec: ValidatingAdmissionPolicySpec, facts: Facts, { params, namespaceObject }: Surroundings, expressions: Expressions): Verdict {
  const isStrict = spec.failurePolicy !== 'Ignore';
  const budget = new Budget(perObjectLimit);
  const failed = (message: string, index = -1): Finding[] => (isStrict ? [{ message, reason: 'Invalid', index }] : []);
  const nothing = (found: readonly Finding[]): Verdict => ({ findings: found, annotations: [] });
  let programs: ReadonlyMap<string, Program>;
  try {
    programs = new Map((spec.variables ?? []).map(({ name, expression }) => [name, expressions.variable(expression)]));
  } catch (error) {
    if (error instanceof StatusError) return nothing(failed(`compilation failed: ${error.message}`));
    throw error;
  }
  const variables = policyVariables(facts, { params, namespaceObject, programs }, budget);
  const match = matchConditions(spec.matchConditions ?? [], (text) => expressions.condition(text, true), variables);
  if (match instanceof StatusError) return nothing(failed(match.message));
  if (!match) return nothing([]);
  const evaluate = (program: Program): unknown => valueOf(program, variables, budget);
  const findings = (spec.validations ?? []).flatMap((validation, index) => {
    const { expression, reason = 'Invalid' } = validation;
    try {
      return valueOf(expressions.condition(expression, true), variables, budget) === true ? [] : [{ message: messageFor(validation, expressions, evaluate), reason, index }];
    } catch (error) {
      if (isOfExpression(error)) return failed(`expression '${expression}' resulted in error: ${messageOf(error)}`, index);
      throw error;
    }
  });
  const annotations: [string, string][] = [];
  for (const { key, valueExpression } of spec.auditAnnotations ?? []) {
    try {
      const value = evaluate(expressions.annotation(valueExpression));
      if (typeof value === 'string' && value.trim() !== '') annotations.push([key, value.trim()]);
    } catch (error) {
      if (!isOfExpression(error)) throw error;
      findings.push(...failed(`valueExpression '${valueExpression}' resulted in error: ${messageOf(error)}`));
    }
  }
  return { findings, annotations };
}

function isOfExpression(error: unknown): boolean {
  return error instanceof CelError || error instanceof CelBudgetError || error instanceof StatusError;
}

/** What the expression for it says, if that is a line; else what the policy says; else the expression itself. */
function messageFor({ expression, message, messageExpression }: Validation, expressions: Expressions, evaluate: (program: Program) => unknown): string {
  const plain = message ?? `failed expression: ${expression.trim()}`;
  if (!messageExpression) return plain;
  try {
    const text = evaluate(expressions.message(messageExpression));
    return typeof text === 'string' && text.trim() !== '' && !text.includes('\n') && Buffer.byteLength(text) <= maxMessageBytes ? text.trim() : plain;
  } catch (error) {
    if (isOfExpression(error)) return plain;
    throw error;
  }
}
