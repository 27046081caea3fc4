import { CelBudgetError, CelError } from './errors.ts';
import type { Spend } from './functions.ts';
import { MapLike, TypeValue, type Value } from './values.ts';

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

export interface Frame {
  readonly variables: ReadonlyMap<string, Value> | undefined;
  readonly outer: Frame | undefined;
  readonly root: Root;
}

export interface Root { readonly given: Variables; readonly spend: Spend; readonly made: Map<string, Value> }

/** A part of an expression, ready to run. */
export type Step = (frame: Frame) => Value;

export function lookup(frame: Frame, name: string): Value {
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

export function within(frame: Frame, variables: ReadonlyMap<string, Value>): Frame {
  return { variables, outer: frame, root: frame.root };
}

export function mapLike(value: Value): MapLike {
  if (value instanceof MapLike) return value;
  throw new CelError('no such overload');
}

export function boolean(value: Value): boolean {
  if (typeof value === 'boolean') return value;
  throw new CelError('no such overload');
}

/** The value, or why there is none; what is worse than that is thrown on. */
export function attempt<T>(work: () => T): T | CelError {
  try {
    return work();
  } catch (error) {
    if (error instanceof CelError) return error;
    throw error;
  }
}
