import { CelBudgetError, CelError, valueOf, variablesOf, type Program } from '#api/admission/expressions.ts';
import type { MatchCondition } from '#api/gen/types.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Variables } from '#api/cel/cel.ts';
import type { Expressions } from './expressions.ts';
import { reviewRequest } from './review.ts';
import type { AdmissionRequest } from './types.ts';

/** The conditions of a webhook on a request. */
export async function evaluateConditions(expressions: Expressions, conditions: readonly MatchCondition[], request: AdmissionRequest): Promise<Match> {
  const seen = reviewRequest(request, request.kind.resource, { object: undefined, old: undefined });
  return expressions.answered(request, (ask, resource) => matchConditions(conditions, (text) => expressions.condition(text, false),
    variablesOf({ object: request.object, oldObject: request.old, request: seen, ask, resource })));
}

/** True, false, or why it cannot be told. */
export type Match = boolean | StatusError;

/** All must hold. One that does not decides, whatever becomes of the others; an error only where none says no. */
export function matchConditions(conditions: readonly MatchCondition[], compile: (expression: string) => Program, variables: Variables): Match {
  const problems: string[] = [];
  for (const { expression } of conditions) {
    try {
      if (valueOf(compile(expression), variables) !== true) return false;
    } catch (error) {
      if (!(error instanceof CelError || error instanceof CelBudgetError || error instanceof StatusError)) throw error;
      problems.push(`expression '${expression}' resulted in error: ${messageOf(error)}`);
    }
  }
  return problems.length === 0 ? true : new StatusError('Forbidden', problems.length === 1 ? problems[0] ?? '' : `[${problems.join(', ')}]`);
}
