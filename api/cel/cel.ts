import { check, type Checked } from './check.ts';
import { CelCompileError } from './errors.ts';
import { plan, type Plan } from './evaluate.ts';
import { Budget, type Variables } from './frame.ts';
import type { Functions } from './functions.ts';
import { libraryWith } from './library/library.ts';
import { parse } from './parser.ts';
import { assignable, printType, type CelType } from './types.ts';
import type { Value } from './values.ts';

export { Budget, type Variables } from './frame.ts';
export { CelBudgetError, CelCompileError, CelError } from './errors.ts';
export { define, type Functions, type Overload } from './functions.ts';
export { libraryWith } from './library/library.ts';
export { fromJson } from './json.ts';
export { typeOfSchema } from './schema-type.ts';
export type { CelType } from './types.ts';
export type { Value } from './values.ts';

/** What an expression may speak of. */
export interface Environment {
  /** Variables by name, `object.spec` alike with dots, and their types. */
  readonly variables: Readonly<Record<string, CelType>>;
  /** Default: the library of Kubernetes. */
  readonly functions?: Functions;
}

/** A compiled expression; hold on to it, evaluating is much cheaper than compiling. */
export interface Program {
  readonly expression: string;
  readonly type: CelType;
  readonly checked: Checked;
  readonly plan: Plan;
}

/** Kubernetes' limits: of one evaluation, and of all that belong to one object. */
export const perCallLimit = 1_000_000;
export const perObjectLimit = 10_000_000;

let library: Functions | undefined;

/**
 * Parses and checks `expression` against the types of its variables. `result` is what it must yield: another type is
 * refused. Throws CelCompileError, whose message says where and why in Kubernetes' form.
 */
export function compile(expression: string, environment: Environment, result?: CelType): Program {
  const functions = environment.functions ?? (library ??= libraryWith());
  const checked = check(expression, parse(expression), { variables: environment.variables, functions });
  if (result && !assignable(result, checked.type, new Map())) {
    throw new CelCompileError(expression, [{ at: 0, message: `must evaluate to ${printType(result)}` }]);
  }
  return { expression, type: checked.type, checked, plan: plan(checked) };
}

/** The value of `program`. Throws CelError when it has none, CelBudgetError when it costs more than there is. */
export function evaluate(program: Program, variables: Variables, budget: Budget = new Budget(perCallLimit)): Value {
  return program.plan(variables, budget);
}
