import type { Comprehension, Expr } from './ast.ts';

type Fail = (at: number, message: string) => Error;

/** What a call stands for when it is a macro; undefined when it is none. */
export function expandMacro(at: number, name: string, target: Expr | undefined, args: readonly Expr[], fail: Fail): Expr | undefined {
  if (target === undefined) return name === 'has' && args.length === 1 ? has(args[0] as Expr, fail) : undefined;
  if (target.kind === 'ident' && target.name === 'cel' && name === 'bind' && args.length === 3) {
    return { kind: 'let', at, macro: 'bind', name: variable(args[0], fail), value: args[1] as Expr, body: args[2] as Expr };
  }
  if ((name === 'optMap' || name === 'optFlatMap') && args.length === 2) return { kind: 'let', at, macro: name, name: variable(args[0], fail), value: target, body: args[1] as Expr };
  const macro = macros[name]?.(args.length);
  if (!macro) return undefined;
  const variables = args.slice(0, macro.variables).map((arg) => variable(arg, fail));
  if (new Set(variables).size !== variables.length) throw fail(args[1]?.at ?? at, `cannot redeclare iteration variable: ${variables[1] ?? ''}`);
  const [first, second] = args.slice(macro.variables);
  const filter = second ? first : undefined;
  return { kind: 'comprehension', at, macro: macro.macro, range: target, variables, filter, body: second ?? first as Expr };
}

interface Form { readonly macro: Comprehension['macro']; readonly variables: 1 | 2 }
const one = (macro: Comprehension['macro']): Form => ({ macro, variables: 1 });
const two = (macro: Comprehension['macro']): Form => ({ macro, variables: 2 });
const oneOrTwo = (macro: Comprehension['macro']) => (count: number): Form | undefined => (count === 2 ? one(macro) : count === 3 ? two(macro) : undefined);
const transform = (macro: Comprehension['macro']) => (count: number): Form | undefined => (count === 3 || count === 4 ? two(macro) : undefined);

const macros: Readonly<Record<string, (count: number) => Form | undefined>> = {
  __proto__: null as never,
  all: oneOrTwo('all'),
  exists: oneOrTwo('exists'),
  exists_one: oneOrTwo('exists_one'),
  existsOne: oneOrTwo('exists_one'),
  map: (count) => (count === 2 || count === 3 ? one('map') : undefined),
  filter: (count) => (count === 2 ? one('filter') : undefined),
  transformList: transform('transformList'),
  transformMap: transform('transformMap'),
  transformMapEntry: transform('transformMapEntry'),
  sortBy: (count) => (count === 2 ? one('sortBy') : undefined),
};

function has(arg: Expr, fail: Fail): Expr {
  if (arg.kind !== 'select' || arg.form !== 'plain') throw fail(arg.at, 'invalid argument to has() macro');
  return { ...arg, form: 'test' };
}

function variable(arg: Expr | undefined, fail: Fail): string {
  if (arg?.kind !== 'ident') throw fail(arg?.at ?? 0, 'argument must be a simple name');
  if (arg.name === '__result__') throw fail(arg.at, 'iteration variable overwrites accumulator variable');
  return arg.name;
}
