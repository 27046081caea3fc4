import { StatusError } from '#common/errors.ts';

/** One thing that is wrong with an expression, and where: an offset in characters. */
export interface Issue { readonly at: number; readonly message: string }

/** An expression that cannot be compiled; the message is Kubernetes' form of it. */
export class CelCompileError extends StatusError {
  readonly issues: readonly Issue[];

  constructor(expression: string, issues: readonly Issue[]) {
    super('Invalid', issues.slice(0, 20).map((issue) => printIssue(expression, issue)).join('\n'));
    this.issues = issues;
  }
}

function printIssue(expression: string, { at, message }: Issue): string {
  const before = expression.slice(0, at).split('\n');
  const column = Array.from(before.at(-1) ?? '').length;
  const line = expression.split('\n')[before.length - 1] ?? '';
  return `ERROR: <input>:${before.length}:${column + 1}: ${message}\n | ${line}\n | ${'.'.repeat(column)}^`;
}

/** An expression that has no value: a missing key, a division by zero. `||`, `&&` and their macros may pass over it. */
export class CelError extends Error {}

/** The expression did too much work. Nothing passes over it. */
export class CelBudgetError extends Error {
  constructor() {
    super('operation cancelled: actual cost limit exceeded');
  }
}
