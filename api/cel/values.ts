import { CelBudgetError, CelError } from './errors.ts';

/** Values at run time: JavaScript's own where they fit. An int is a bigint, a double a number. */
export type Value = null | boolean | bigint | number | string | Uint8Array | Uint | Timestamp | Duration | TypeValue | Optional | Opaque | MapLike | readonly Value[];

export class Uint {
  readonly value: bigint;
  constructor(value: bigint) { this.value = value; }
}

const firstMoment = BigInt(Date.UTC(-1, 0, 1)) * 1_000_000n;
const lastMoment = BigInt(Date.UTC(10_000, 0, 1)) * 1_000_000n;

/** Nanoseconds since 1970, in the years that RFC 3339 can write. */
export class Timestamp {
  readonly ns: bigint;
  constructor(ns: bigint) {
    if (ns < firstMoment || ns >= lastMoment) throw new CelError('timestamp overflow');
    this.ns = ns;
  }
}

export class Duration {
  readonly ns: bigint;
  constructor(ns: bigint) { this.ns = ns; }
}

export class TypeValue {
  readonly name: string;
  constructor(name: string) { this.name = name; }
}

export class Optional {
  /** Undefined: none. */
  readonly value: Value | undefined;
  constructor(value: Value | undefined) { this.value = value; }
}

/** A value of a library's own type. */
export abstract class Opaque {
  abstract readonly typeName: string;
  abstract equals(other: Opaque): boolean;
}

/** A map, or an object, which is a map from the names of its fields. */
export abstract class MapLike {
  abstract readonly size: number;
  abstract get(key: Value): Value | undefined;
  abstract keys(): Iterable<Value>;
  has(key: Value): boolean { return this.get(key) !== undefined; }
}

/** Numbers of all types that are equal are one key. */
export function mapKey(value: Value): string | bigint | boolean {
  if (typeof value === 'string' || typeof value === 'bigint' || typeof value === 'boolean') return value;
  if (value instanceof Uint) return value.value;
  if (typeof value === 'number' && Number.isInteger(value)) return BigInt(value);
  throw new CelError(`unsupported key type: ${typeName(value)}`);
}

/** A map that an expression makes. */
export class ValueMap extends MapLike {
  readonly #entries = new Map<string | bigint | boolean, readonly [Value, Value]>();

  constructor(entries: Iterable<readonly [Value, Value]>) {
    super();
    for (const entry of entries) {
      const key = mapKey(entry[0]);
      if (this.#entries.has(key)) throw new CelError(`Failed with repeated key: ${String(key)}`);
      this.#entries.set(key, entry);
    }
  }

  get size(): number { return this.#entries.size; }
  get(key: Value): Value | undefined { return this.#entries.get(mapKey(key))?.[1]; }
  *keys(): Iterable<Value> { for (const [key] of this.#entries.values()) yield key; }
}

const keysOf: unique symbol = Symbol('keys');
interface Unordered extends ReadonlyArray<Value> { readonly [keysOf]?: readonly string[] }

/** Makes a list one without order: a set, or a map by the fields `keys` of its items. */
export function unordered(items: Value[], keys: readonly string[]): readonly Value[] {
  return Object.defineProperty(items, keysOf, { value: keys, enumerable: false });
}

/** `a + b`. To a set comes what it lacks; in a map by keys the items of `b` take the places of those of `a`. */
export function concatenated(a: readonly Value[], b: readonly Value[]): readonly Value[] {
  const keys = (a as Unordered)[keysOf];
  if (!keys) return [...a, ...b];
  const steps = new Steps();
  const isSame = (x: Value, y: Value): boolean => (keys.length === 0 || !(x instanceof MapLike) || !(y instanceof MapLike) ? sameValue(x, y, steps) : keys.every((key) => sameValue(x.get(key) ?? null, y.get(key) ?? null, steps)));
  const merged = a.map((item) => b.find((one) => isSame(one, item)) ?? item);
  return unordered([...merged, ...b.filter((item) => !a.some((one) => isSame(one, item)))], keys);
}

function sameItems(a: readonly Value[], b: readonly Value[], steps: Steps): boolean {
  if (a.length !== b.length) return false;
  if (!(a as Unordered)[keysOf] || !(b as Unordered)[keysOf]) return a.every((item, i) => sameValue(item, b[i] as Value, steps));
  const left = [...b];
  return a.every((item) => {
    const at = left.findIndex((one) => sameValue(one, item, steps));
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
}

export function typeName(value: Value): string {
  if (value === null) return 'null_type';
  switch (typeof value) {
    case 'boolean': return 'bool';
    case 'bigint': return 'int';
    case 'number': return 'double';
    case 'string': return 'string';
    default: break;
  }
  if (Array.isArray(value)) return 'list';
  if (value instanceof Uint8Array) return 'bytes';
  if (value instanceof Uint) return 'uint';
  if (value instanceof Timestamp) return 'google.protobuf.Timestamp';
  if (value instanceof Duration) return 'google.protobuf.Duration';
  if (value instanceof TypeValue) return 'type';
  if (value instanceof Optional) return 'optional_type';
  return value instanceof Opaque ? value.typeName : 'map';
}

export function isNumber(value: Value): value is bigint | number | Uint {
  return typeof value === 'bigint' || typeof value === 'number' || value instanceof Uint;
}

/** -1, 0 or 1, across number types; undefined when one is not a number at all (NaN). */
export function compareNumbers(a: bigint | number | Uint, b: bigint | number | Uint): number | undefined {
  const [x, y] = [a instanceof Uint ? a.value : a, b instanceof Uint ? b.value : b];
  return x < y ? -1 : x > y ? 1 : x <= y ? 0 : undefined;
}

/** Bounds walks through values: one that holds another twice, and so on, is as large as it is told, not as it is stored. */
export class Steps {
  #left = 1_000_000;

  /** Throws CelBudgetError. */
  take(count = 1): void {
    this.#left -= count;
    if (this.#left < 0) throw new CelBudgetError();
  }
}

export function sameValue(a: Value, b: Value, steps = new Steps()): boolean {
  steps.take();
  if (a === b) return true;
  if (isNumber(a)) return isNumber(b) && compareNumbers(a, b) === 0;
  if (Array.isArray(a)) return Array.isArray(b) && sameItems(a as readonly Value[], b as readonly Value[], steps);
  if (a instanceof MapLike) return b instanceof MapLike && sameMap(a, b, steps);
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (a instanceof Timestamp) return b instanceof Timestamp && a.ns === b.ns;
  if (a instanceof Duration) return b instanceof Duration && a.ns === b.ns;
  if (a instanceof TypeValue) return b instanceof TypeValue && a.name === b.name;
  if (a instanceof Optional) return b instanceof Optional && (a.value === undefined || b.value === undefined ? a.value === b.value : sameValue(a.value, b.value, steps));
  return a instanceof Opaque && b instanceof Opaque && a.typeName === b.typeName && a.equals(b);
}

function sameMap(a: MapLike, b: MapLike, steps: Steps): boolean {
  if (a.size !== b.size) return false;
  for (const key of a.keys()) {
    const [left, right] = [a.get(key), b.get(key)];
    if (left === undefined || right === undefined || !sameValue(left, right, steps)) return false;
  }
  return true;
}

/** -1, 0 or 1; throws for values without an order. */
export function compareValues(a: Value, b: Value): number {
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b) ?? Number.NaN;
  if (typeof a === 'string' && typeof b === 'string') return compareText(a, b);
  if (typeof a === 'boolean' && typeof b === 'boolean') return Number(a) - Number(b);
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b);
  if ((a instanceof Timestamp && b instanceof Timestamp) || (a instanceof Duration && b instanceof Duration)) return a.ns < b.ns ? -1 : Number(a.ns > b.ns);
  throw new CelError('no such overload');
}

/** By code points, as Go compares UTF-8. */
function compareText(a: string, b: string): number {
  if (a === b) return 0;
  for (let i = 0; ; i++) {
    const [x, y] = [a.codePointAt(i), b.codePointAt(i)];
    if (x === undefined || y === undefined) return x === y ? 0 : x === undefined ? -1 : 1;
    if (x !== y) return x < y ? -1 : 1;
    if (x > 0xffff) i++;
  }
}

/** In characters, not in JavaScript's halves of them. */
export function textLength(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) length--;
  return length;
}

/** How much there is of a value, for the cost of looking at it. */
export function sizeOf(value: Value): number {
  if (typeof value === 'string') return textLength(value);
  if (Array.isArray(value) || value instanceof Uint8Array) return (value as { length: number }).length;
  return value instanceof MapLike ? value.size : 1;
}
