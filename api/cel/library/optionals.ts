import { CelError } from '../errors.ts';
import { define, type Overload } from '../functions.ts';
import { MapLike, Optional, sizeOf, Uint, type Value } from '../values.ts';

const none = new Optional(undefined);

function isZero(value: Value): boolean {
  if (value === null || value === false || value === 0n || value === 0 || value === '') return true;
  if (value instanceof Uint) return value.value === 0n;
  if (value instanceof Optional) return value.value === undefined;
  return (Array.isArray(value) || value instanceof Uint8Array || value instanceof MapLike) && sizeOf(value) === 0;
}

function valueOf({ value }: Optional): Value {
  if (value === undefined) throw new CelError('optional.none() dereference');
  return value;
}

/** Optional values. Source: https://github.com/google/cel-spec/wiki/proposal-246 */
export const optionals: readonly Overload[] = [
  define('@optional.of(A): optional(A)', (a: Value) => new Optional(a)),
  define('@optional.none(): optional(A)', () => none),
  define('@optional.ofNonZeroValue(A): optional(A)', (a: Value) => (isZero(a) ? none : new Optional(a))),
  define('optional(A).hasValue(): bool', (a: Optional) => a.value !== undefined),
  define('optional(A).value(): A', valueOf),
  define('optional(A).or(optional(A)): optional(A)', (a: Optional, b: Optional) => (a.value === undefined ? b : a)),
  define('optional(A).orValue(A): A', (a: Optional, b: Value) => a.value ?? b),
];
