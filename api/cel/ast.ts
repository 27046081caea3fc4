import type { Value } from './values.ts';

/** `at` is where the expression is in the text, as an offset: of its operator, its dot or its parenthesis. */
interface Node { readonly at: number }

export type Comprehension = Node & {
  readonly kind: 'comprehension';
  readonly macro: 'all' | 'exists' | 'exists_one' | 'map' | 'filter' | 'transformList' | 'transformMap' | 'transformMapEntry' | 'sortBy';
  readonly range: Expr;
  /** One for items or keys; two for index and item, or key and value. */
  readonly variables: readonly string[];
  readonly filter: Expr | undefined;
  readonly body: Expr;
};

/** An expression as parsed. Operators are calls of functions named as in CEL: `_+_`, `_[_]`, `@in`. */
export type Expr =
  | Node & { readonly kind: 'literal'; readonly value: Value }
  | Node & { readonly kind: 'ident'; readonly name: string }
  | Node & { readonly kind: 'select'; readonly operand: Expr; readonly field: string; readonly form: 'plain' | 'optional' | 'test' }
  | Node & { readonly kind: 'call'; readonly name: string; readonly target: Expr | undefined; readonly args: readonly Expr[] }
  | Node & { readonly kind: 'list'; readonly items: readonly { readonly value: Expr; readonly optional: boolean }[] }
  | Node & { readonly kind: 'map'; readonly entries: readonly { readonly key: Expr; readonly value: Expr; readonly optional: boolean }[] }
  | Node & { readonly kind: 'struct'; readonly name: string }
  /** `optMap` and `optFlatMap`; `bind` gives a value a name. */
  | Node & { readonly kind: 'let'; readonly macro: 'optMap' | 'optFlatMap' | 'bind'; readonly name: string; readonly value: Expr; readonly body: Expr }
  | Comprehension;
