import { CelError } from '../errors.ts';
import { define, type Overload } from '../functions.ts';
import { compareValues, Duration, Optional, sameValue, sizeOf, Uint, type Value } from '../values.ts';
import { asInt } from './standard.ts';

type List = readonly Value[];
const length = ([list]: readonly Value[]): number => Math.max(1, sizeOf(list as Value));

function best(list: List, wins: (order: number) => boolean, name: string): Value {
  const [first, ...rest] = list;
  if (first === undefined) throw new CelError(`${name} called on empty list`);
  return rest.reduce<Value>((kept, item) => (wins(compareValues(item, kept)) ? item : kept), first);
}

const isSorted = (list: List): boolean => list.every((item, i) => i === 0 || compareValues(list[i - 1] as Value, item) <= 0);
const comparable = ['int', 'uint', 'double', 'bool', 'duration', 'timestamp', 'string', 'bytes'];

/** Kubernetes' list library. Source: https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-list-library */
const kubernetes: readonly Overload[] = [
  ...comparable.flatMap((type) => [
    define(`list(${type}).isSorted(): bool`, isSorted, length),
    define(`list(${type}).min(): ${type}`, (list: List) => best(list, (order) => order < 0, 'min'), length),
    define(`list(${type}).max(): ${type}`, (list: List) => best(list, (order) => order > 0, 'max'), length),
    define(`list(${type}).sort(): list(${type})`, (list: List) => [...list].sort(compareValues), length),
  ]),
  define('list(int).sum(): int', (list: readonly bigint[]) => list.reduce((sum, item) => asInt(sum + item), 0n), length),
  define('list(uint).sum(): uint', (list: readonly Uint[]) => new Uint(list.reduce((sum, { value }) => sum + value, 0n)), length),
  define('list(double).sum(): double', (list: readonly number[]) => list.reduce((sum, item) => sum + item, 0), length),
  define('list(duration).sum(): duration', (list: readonly Duration[]) => new Duration(list.reduce((sum, { ns }) => asInt(sum + ns), 0n)), length),
  define('list(A).indexOf(A): int', (list: List, item: Value) => BigInt(list.findIndex((one) => sameValue(one, item))), length),
  define('list(A).lastIndexOf(A): int', (list: List, item: Value) => BigInt(list.findLastIndex((one) => sameValue(one, item))), length),
];

const maxRange = 1_000_000n;

function flatten(list: List, depth: bigint): Value[] {
  if (depth < 0n) throw new CelError('level must be non-negative');
  return list.flatMap((item) => (Array.isArray(item) && depth > 0n ? flatten(item as List, depth - 1n) : [item]));
}

function slice(list: List, from: bigint, to: bigint): List {
  if (from < 0n || to < 0n) throw new CelError(`cannot slice(${from}, ${to}), negative indexes not supported`);
  if (from > to) throw new CelError(`cannot slice(${from}, ${to}), start index must be less than or equal to end index`);
  if (to > BigInt(list.length)) throw new CelError(`cannot slice(${from}, ${to}), list is length ${list.length}`);
  return list.slice(Number(from), Number(to));
}

/** cel-go's `lists` extension. */
const extension: readonly Overload[] = [
  define('list(A).slice(int, int): list(A)', slice, length),
  define('list(list(A)).flatten(): list(A)', (list: List) => flatten(list, 1n), length),
  define('list(dyn).flatten(int): list(dyn)', (list: List, depth: bigint) => flatten(list, depth), length),
  define('list(A).distinct(): list(A)', (list: List) => list.filter((item, i) => list.findIndex((one) => sameValue(one, item)) === i), ([list]) => Math.max(1, sizeOf(list as Value) ** 2)),
  define('list(A).reverse(): list(A)', (list: List) => [...list].reverse(), length),
  define('list(A).first(): optional(A)', (list: List) => new Optional(list[0])),
  define('list(A).last(): optional(A)', (list: List) => new Optional(list.at(-1))),
  define('@lists.range(int): list(int)', (to: bigint) => {
    if (to > maxRange) throw new CelError(`range size ${to} is too large`);
    return Array.from({ length: Math.max(0, Number(to)) }, (_, i) => BigInt(i));
  }, ([to]) => Math.max(1, Number(to))),
];

const containsAll = (list: List, part: List): boolean => part.every((item) => list.some((one) => sameValue(one, item)));
const product = ([a, b]: readonly Value[]): number => Math.max(1, sizeOf(a as Value) * sizeOf(b as Value));

/** cel-go's `sets` extension. */
const sets: readonly Overload[] = [
  define('@sets.contains(list(A), list(A)): bool', containsAll, product),
  define('@sets.equivalent(list(A), list(A)): bool', (a: List, b: List) => containsAll(a, b) && containsAll(b, a), product),
  define('@sets.intersects(list(A), list(A)): bool', (a: List, b: List) => a.some((item) => b.some((one) => sameValue(one, item))), product),
];

export const lists: readonly Overload[] = [...kubernetes, ...extension, ...sets];
