import type { Checked } from './check.ts';
import { CelError } from './errors.ts';
import { attempt, boolean, mapLike, within, type Frame, type Step } from './frame.ts';
import { compareValues, ValueMap, type Value } from './values.ts';

/** What one round of a comprehension costs beside its body. */
const roundCost = 2;

/** `stepOf` makes the parts ready. */
export function comprehensionStep(expr: Extract<Checked, { kind: 'comprehension' }>, stepOf: (expr: Checked) => Step): Step {
  const { macro, variables } = expr;
  const [range, body, filter] = [stepOf(expr.range), stepOf(expr.body), expr.filter && stepOf(expr.filter)];
  const rounds = function* (frame: Frame): Iterable<readonly [Value, Value, Frame]> {
    for (const [key, value] of entriesOf(range(frame), variables.length)) {
      frame.root.spend(roundCost);
      const names = new Map([[variables[0] ?? '', variables.length === 1 ? value : key]]);
      if (variables[1] !== undefined) names.set(variables[1], value);
      const inner = within(frame, names);
      if (filter === undefined || boolean(filter(inner))) yield [key, value, inner];
    }
  };
  switch (macro) {
    case 'all': return (frame) => quantified(rounds(frame), body, false);
    case 'exists': return (frame) => quantified(rounds(frame), body, true);
    case 'exists_one': return (frame) => [...rounds(frame)].filter(([, , inner]) => boolean(body(inner))).length === 1;
    case 'map': case 'transformList': return (frame) => Array.from(rounds(frame), ([, , inner]) => body(inner));
    case 'filter': return (frame) => [...rounds(frame)].filter(([, , inner]) => boolean(body(inner))).map(([, value]) => value);
    case 'transformMap': return (frame) => new ValueMap(Array.from(rounds(frame), ([key, , inner]) => [key, body(inner)] as const));
    case 'transformMapEntry': return (frame) => new ValueMap([...rounds(frame)].flatMap(([, , inner]) => {
      const made = mapLike(body(inner));
      return [...made.keys()].map((key) => [key, made.get(key) ?? null] as const);
    }));
    case 'sortBy': return (frame) => Array.from(rounds(frame), ([, value, inner]) => ({ value, by: body(inner) })).sort((x, y) => compareValues(x.by, y.by)).map(({ value }) => value);
  }
}

/** Items with their index, or keys with their value; with one variable maps are walked by key. */
function* entriesOf(range: Value, variables: number): Iterable<readonly [Value, Value]> {
  if (Array.isArray(range)) {
    for (const [i, item] of (range as readonly Value[]).entries()) yield [BigInt(i), item];
    return;
  }
  const holder = mapLike(range);
  for (const key of holder.keys()) yield variables === 1 ? [key, key] : [key, holder.get(key) ?? null];
}

/** As a chain of `&&`, or of `||` where `decisive` is true: an error counts only if nothing decides. */
function quantified(rounds: Iterable<readonly [Value, Value, Frame]>, body: Step, decisive: boolean): boolean {
  let wrong: CelError | undefined;
  for (const [, , inner] of rounds) {
    const found = attempt(() => boolean(body(inner)));
    if (found === decisive) return decisive;
    if (found instanceof CelError) wrong ??= found;
  }
  if (wrong) throw wrong;
  return !decisive;
}
