import type { Checked } from './check.ts';
import { CelBudgetError, CelError } from './errors.ts';
import { fits, type Overload, type Spend } from './functions.ts';
import { compareValues, mapKey, MapLike, Optional, sameValue, sizeOf, TypeValue, Uint, ValueMap, type Value } from './values.ts';

/** What evaluations may cost together, in Kubernetes' units of cost. */
export class Budget {
  #left: number;

  constructor(limit: number) {
    this.#left = limit;
  }

  get left(): number { return this.#left; }

  /** Throws CelBudgetError when there is not so much. */
  spend(cost: number): void {
    this.#left -= cost;
    if (this.#left < 0) throw new CelBudgetError();
  }
}

/** The values of variables. A variable may be given as a function, which is called when it is first looked at. */
export type Variables = Readonly<Record<string, Value | (() => Value) | undefined>>;

interface Frame {
  readonly variables: ReadonlyMap<string, Value> | undefined;
  readonly outer: Frame | undefined;
  readonly root: Root;
}

interface Root { readonly given: Variables; readonly spend: Spend; readonly made: Map<string, Value> }

type Step = (frame: Frame) => Value;

/** A compiled expression: what runs, again and again, on other variables. */
export type Plan = (variables: Variables, budget: Budget) => Value;

export function plan(expr: Checked): Plan {
  const step = stepOf(expr);
  return (given, budget) => step({ variables: undefined, outer: undefined, root: { given, spend: (cost) => { budget.spend(cost); }, made: new Map() } });
}

function stepOf(expr: Checked): Step {
  switch (expr.kind) {
    case 'literal': { const { value } = expr; return () => value; }
    case 'ident': { const { name } = expr; return (frame) => { frame.root.spend(1); return lookup(frame, name); }; }
    case 'select': return selectStep(expr);
    case 'call': return callStep(expr);
    case 'list': return listStep(expr);
    case 'map': return mapStep(expr);
    case 'let': return letStep(expr);
    case 'comprehension': return comprehensionStep(expr);
  }
}

function lookup(frame: Frame, name: string): Value {
  for (let here: Frame | undefined = frame; here; here = here.outer) {
    const found = here.variables?.get(name);
    if (found !== undefined) return found;
  }
  const { given, made } = frame.root;
  const known = made.get(name);
  if (known !== undefined) return known;
  const value = Object.hasOwn(given, name) ? given[name] : undefined;
  if (typeof value === 'function') {
    const result = value();
    made.set(name, result);
    return result;
  }
  if (value !== undefined) return value;
  return new TypeValue(name);
}

function within(frame: Frame, variables: ReadonlyMap<string, Value>): Frame {
  return { variables, outer: frame, root: frame.root };
}

function selectStep({ operand, field, form }: Extract<Checked, { kind: 'select' }>): Step {
  const of = stepOf(operand);
  return (frame) => {
    const value = of(frame);
    frame.root.spend(1);
    const isOptional = value instanceof Optional;
    const holder = isOptional ? value.value : value;
    if (form === 'test') return holder !== undefined && mapLike(holder).has(field);
    if (holder === undefined) return none;
    const found = mapLike(holder).get(field);
    if (form === 'optional' || isOptional) return found === undefined ? none : new Optional(found);
    if (found === undefined) throw new CelError(`no such key: ${field}`);
    return found;
  };
}

const none = new Optional(undefined);

function mapLike(value: Value): MapLike {
  if (value instanceof MapLike) return value;
  throw new CelError('no such overload');
}

function callStep({ name, args, overloads }: Extract<Checked, { kind: 'call' }>): Step {
  const steps = args.map(stepOf);
  const [a, b, c] = steps as [Step, Step, Step];
  switch (name) {
    case '_&&_': return logical(a, b, false);
    case '_||_': return logical(a, b, true);
    case '_?_:_': return (frame) => (boolean(a(frame)) ? b(frame) : c(frame));
    case '_==_': return (frame) => equality(frame, a(frame), b(frame));
    case '_!=_': return (frame) => !equality(frame, a(frame), b(frame));
    case '_[_]': return (frame) => index(frame, a(frame), b(frame));
    case '_[?_]': return (frame) => optionalIndex(frame, a(frame), b(frame));
    case '@in': return (frame) => contains(frame, a(frame), b(frame));
    default: return functionStep(steps, overloads.map((overload) => specialized(overload, args.at(-1))));
  }
}

/** What is wrong with a literal is told when the expression is evaluated. */
function specialized(overload: Overload, last: Checked | undefined): Overload {
  if (!overload.specialize || last?.kind !== 'literal') return overload;
  try {
    return overload.specialize(last.value);
  } catch (error) {
    if (error instanceof CelError) return overload;
    throw error;
  }
}

function functionStep(steps: readonly Step[], overloads: readonly Overload[]): Step {
  return (frame) => {
    const values = steps.map((step) => step(frame));
    const overload = overloads.find(({ args }) => args.every((type, i) => fits(type, values[i] as Value)));
    if (!overload) throw new CelError('no such overload');
    return overload.call(values, frame.root.spend);
  };
}

function boolean(value: Value): boolean {
  if (typeof value === 'boolean') return value;
  throw new CelError('no such overload');
}

/** `decisive` on either side is the answer, whatever is wrong with the other. */
function logical(left: Step, right: Step, decisive: boolean): Step {
  return (frame) => {
    const first = attempt(() => boolean(left(frame)));
    if (first === decisive) return decisive;
    const second = boolean(right(frame));
    if (second === decisive || !(first instanceof CelError)) return second;
    throw first;
  };
}

function attempt<T>(work: () => T): T | CelError {
  try {
    return work();
  } catch (error) {
    if (error instanceof CelError) return error;
    throw error;
  }
}

function equality(frame: Frame, a: Value, b: Value): boolean {
  frame.root.spend(Math.max(1, Math.ceil(Math.min(deepSize(a), deepSize(b)) * 0.1)));
  return sameValue(a, b);
}

function deepSize(value: Value): number {
  return sizeOf(value);
}

function index(frame: Frame, holder: Value, key: Value): Value {
  if (holder instanceof Optional) return optionalIndex(frame, holder, key);
  frame.root.spend(1);
  if (Array.isArray(holder)) {
    const at = listIndex(key);
    const item = (holder as readonly Value[])[at];
    if (item === undefined) throw new CelError(`index out of bounds: ${at}`);
    return item;
  }
  const found = mapLike(holder).get(key);
  if (found === undefined) throw new CelError(`no such key: ${String(mapKey(key))}`);
  return found;
}

function listIndex(key: Value): number {
  if (typeof key === 'bigint') return Number(key);
  if (key instanceof Uint) return Number(key.value);
  if (typeof key === 'number' && Number.isInteger(key)) return key;
  throw new CelError(`unsupported index value: ${typeof key}`);
}

function optionalIndex(frame: Frame, holder: Value, key: Value): Value {
  frame.root.spend(1);
  const value = holder instanceof Optional ? holder.value : holder;
  if (value === undefined) return none;
  const found = Array.isArray(value) ? (value as readonly Value[])[listIndex(key)] : mapLike(value).get(key);
  return found === undefined ? none : new Optional(found);
}

function contains(frame: Frame, item: Value, holder: Value): boolean {
  if (!Array.isArray(holder)) {
    frame.root.spend(1);
    return mapLike(holder).has(item);
  }
  frame.root.spend(Math.max(1, holder.length));
  return (holder as readonly Value[]).some((one) => sameValue(one, item));
}

function listStep({ items }: Extract<Checked, { kind: 'list' }>): Step {
  const steps = items.map(({ value, optional }) => ({ step: stepOf(value), optional }));
  return (frame) => {
    frame.root.spend(10);
    return steps.flatMap(({ step, optional }) => {
      const value = step(frame);
      if (!optional) return [value];
      return value instanceof Optional ? (value.value === undefined ? [] : [value.value]) : [value];
    });
  };
}

function mapStep({ entries }: Extract<Checked, { kind: 'map' }>): Step {
  const steps = entries.map(({ key, value, optional }) => ({ key: stepOf(key), value: stepOf(value), optional }));
  return (frame) => {
    frame.root.spend(30);
    return new ValueMap(steps.flatMap(({ key, value, optional }) => {
      const [name, found] = [key(frame), value(frame)];
      if (!optional || !(found instanceof Optional)) return [[name, found] as const];
      return found.value === undefined ? [] : [[name, found.value] as const];
    }));
  };
}

function letStep({ macro, name, value, body }: Extract<Checked, { kind: 'let' }>): Step {
  const [of, then] = [stepOf(value), stepOf(body)];
  return (frame) => {
    const found = of(frame);
    if (macro === 'bind') return then(within(frame, new Map([[name, found]])));
    if (!(found instanceof Optional)) throw new CelError('no such overload');
    if (found.value === undefined) return none;
    const result = then(within(frame, new Map([[name, found.value]])));
    return macro === 'optMap' ? new Optional(result) : result;
  };
}

/** What one round of a comprehension costs beside its body. */
const roundCost = 2;

function comprehensionStep(expr: Extract<Checked, { kind: 'comprehension' }>): Step {
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
