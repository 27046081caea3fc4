import type { Checked } from './check.ts';
import { comprehensionStep } from './comprehension.ts';
import { CelError } from './errors.ts';
import { attempt, boolean, lookup, mapLike, within, type Budget, type Frame, type Step, type Variables } from './frame.ts';
import { fits, type Overload } from './functions.ts';
import { mapKey, Optional, sameValue, sizeOf, Uint, ValueMap, type Value } from './values.ts';

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
    case 'comprehension': return comprehensionStep(expr, stepOf);
  }
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

function equality(frame: Frame, a: Value, b: Value): boolean {
  frame.root.spend(Math.max(1, Math.ceil(Math.min(sizeOf(a), sizeOf(b)) * 0.1)));
  return sameValue(a, b);
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
