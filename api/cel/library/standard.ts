import { compileRegex } from '../../regex/regex.ts';
import { CelError } from '../errors.ts';
import { define, type Overload } from '../functions.ts';
import { compareValues, concatenated, sizeOf, TypeValue, typeName, Uint, type Value } from '../values.ts';
import { Duration, Timestamp } from '../values.ts';
import { formatDuration, formatTimestamp, parseDuration, parseTimestamp } from './time.ts';

const minInt = -0x8000_0000_0000_0000n;
const maxInt = 0x7fff_ffff_ffff_ffffn;
const maxUint = 0xffff_ffff_ffff_ffffn;

/** An int of 64 bits. */
export function asInt(value: bigint): bigint {
  if (value < minInt || value > maxInt) throw new CelError('integer overflow');
  return value;
}

function asUint(value: bigint): Uint {
  if (value < 0n || value > maxUint) throw new CelError('unsigned integer overflow');
  return new Uint(value);
}

function divide(a: bigint, b: bigint): bigint {
  if (b === 0n) throw new CelError('division by zero');
  return a / b;
}

function remainder(a: bigint, b: bigint): bigint {
  if (b === 0n) throw new CelError('modulus by zero');
  return a % b;
}

/** Strings cost a tenth of a unit for each character looked at. */
export const traversal = (...sizes: number[]): number => Math.max(1, Math.ceil(sizes.reduce((sum, size) => sum + size, 0) * 0.1));
const shorter = ([a, b]: readonly Value[]): number => traversal(Math.min(sizeOf(a as Value), sizeOf(b as Value)));
const both = (args: readonly Value[]): number => traversal(...args.map(sizeOf));

const ordered = ['bool', 'int', 'uint', 'double', 'string', 'bytes', 'timestamp', 'duration'];
const numbers = ['int', 'uint', 'double'];
const comparisons: readonly (readonly [string, (order: number) => boolean])[] = [['_<_', (o) => o < 0], ['_<=_', (o) => o <= 0], ['_>_', (o) => o > 0], ['_>=_', (o) => o >= 0]];
const pairs = [...ordered.map((type) => [type, type]), ...numbers.flatMap((a) => numbers.filter((b) => a !== b).map((b) => [a, b]))];

/** What is answered without a call: declared for the checker only. */
const builtIn = (signature: string): Overload => define(signature, () => { throw new CelError('no such overload'); });

const operators: readonly Overload[] = [
  ...['_&&_(bool, bool): bool', '_||_(bool, bool): bool', '_?_:_(bool, A, A): A', '_==_(A, A): bool', '_!=_(A, A): bool', '@@in(A, list(A)): bool', '@@in(A, map(A, B)): bool',
    '_[_](list(A), int): A', '_[_](map(A, B), A): B', '_[_](optional(list(A)), int): optional(A)', '_[_](optional(map(A, B)), A): optional(B)',
    '_[?_](list(A), int): optional(A)', '_[?_](map(A, B), A): optional(B)', '_[?_](optional(list(A)), int): optional(A)', '_[?_](optional(map(A, B)), A): optional(B)'].map(builtIn),
  ...comparisons.flatMap(([name, holds]) => pairs.map(([a, b]) => define(`${name}(${a ?? ''}, ${b ?? ''}): bool`, (x: Value, y: Value) => holds(compareValues(x, y)), shorter))),
  define('!_(bool): bool', (a: boolean) => !a),
  define('-_(int): int', (a: bigint) => asInt(-a)),
  define('-_(double): double', (a: number) => -a),
  define('_+_(int, int): int', (a: bigint, b: bigint) => asInt(a + b)),
  define('_-_(int, int): int', (a: bigint, b: bigint) => asInt(a - b)),
  define('_*_(int, int): int', (a: bigint, b: bigint) => asInt(a * b)),
  define('_/_(int, int): int', (a: bigint, b: bigint) => asInt(divide(a, b))),
  define('_%_(int, int): int', (a: bigint, b: bigint) => asInt(remainder(a, b))),
  define('_+_(uint, uint): uint', (a: Uint, b: Uint) => asUint(a.value + b.value)),
  define('_-_(uint, uint): uint', (a: Uint, b: Uint) => asUint(a.value - b.value)),
  define('_*_(uint, uint): uint', (a: Uint, b: Uint) => asUint(a.value * b.value)),
  define('_/_(uint, uint): uint', (a: Uint, b: Uint) => asUint(divide(a.value, b.value))),
  define('_%_(uint, uint): uint', (a: Uint, b: Uint) => asUint(remainder(a.value, b.value))),
  define('_+_(double, double): double', (a: number, b: number) => a + b),
  define('_-_(double, double): double', (a: number, b: number) => a - b),
  define('_*_(double, double): double', (a: number, b: number) => a * b),
  define('_/_(double, double): double', (a: number, b: number) => a / b),
  define('_+_(string, string): string', (a: string, b: string) => a + b, both),
  define('_+_(bytes, bytes): bytes', (a: Uint8Array, b: Uint8Array) => Uint8Array.from([...a, ...b]), both),
  define('_+_(list(A), list(A)): list(A)', concatenated, (args) => args.reduce<number>((sum, arg) => sum + sizeOf(arg), 1)),
  define('_+_(timestamp, duration): timestamp', (a: Timestamp, b: Duration) => new Timestamp(a.ns + b.ns)),
  define('_+_(duration, timestamp): timestamp', (a: Duration, b: Timestamp) => new Timestamp(a.ns + b.ns)),
  define('_+_(duration, duration): duration', (a: Duration, b: Duration) => new Duration(asInt(a.ns + b.ns))),
  define('_-_(timestamp, timestamp): duration', (a: Timestamp, b: Timestamp) => new Duration(asInt(a.ns - b.ns))),
  define('_-_(timestamp, duration): timestamp', (a: Timestamp, b: Duration) => new Timestamp(a.ns - b.ns)),
  define('_-_(duration, duration): duration', (a: Duration, b: Duration) => new Duration(asInt(a.ns - b.ns))),
];

function doubleToInt(value: number): bigint {
  if (!Number.isFinite(value) || Math.abs(value) >= 2 ** 63) throw new CelError('integer overflow');
  return BigInt(Math.trunc(value));
}

function parseInteger(text: string, what: string): bigint {
  if (!/^[+-]?\d+$/.test(text)) throw new CelError(`cannot convert string '${text}' to ${what}`);
  return BigInt(text.replace(/^\+/, ''));
}

function parseDouble(text: string): number {
  if (!/^[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|inf(?:inity)?|nan)$/i.test(text)) throw new CelError(`cannot convert string '${text}' to double`);
  return /nan/i.test(text) ? Number.NaN : /inf/i.test(text) ? (text.startsWith('-') ? -Infinity : Infinity) : Number(text);
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new CelError('invalid UTF-8 in bytes, cannot convert to string');
  }
}

/** A double as Go prints it. */
export function printDouble(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-4 || size >= 1e21)) return value.toExponential().replace(/e([+-])(\d)$/, 'e$10$2');
  return String(value);
}

const conversions: readonly Overload[] = [
  ...['bool', 'int', 'uint', 'double', 'string', 'bytes', 'timestamp', 'duration'].map((type) => define(`${type}(${type}): ${type}`, (a: Value) => a)),
  define('int(uint): int', (a: Uint) => asInt(a.value)),
  define('int(double): int', (a: number) => doubleToInt(a)),
  define('int(string): int', (a: string) => asInt(parseInteger(a, 'int'))),
  define('int(timestamp): int', (a: Timestamp) => a.ns / 1_000_000_000n - (a.ns % 1_000_000_000n < 0n ? 1n : 0n)),
  define('int(duration): int', (a: Duration) => a.ns),
  define('uint(int): uint', (a: bigint) => asUint(a)),
  define('uint(double): uint', (a: number) => asUint(Number.isFinite(a) && a < 2 ** 64 ? BigInt(Math.trunc(a)) : -1n)),
  define('uint(string): uint', (a: string) => asUint(parseInteger(a, 'uint'))),
  define('double(int): double', (a: bigint) => Number(a)),
  define('double(uint): double', (a: Uint) => Number(a.value)),
  define('double(string): double', (a: string) => parseDouble(a)),
  define('string(int): string', (a: bigint) => String(a)),
  define('string(uint): string', (a: Uint) => String(a.value)),
  define('string(double): string', (a: number) => printDouble(a)),
  define('string(bool): string', (a: boolean) => String(a)),
  define('string(bytes): string', (a: Uint8Array) => decodeUtf8(a), both),
  define('string(timestamp): string', (a: Timestamp) => formatTimestamp(a)),
  define('string(duration): string', (a: Duration) => formatDuration(a)),
  define('bytes(string): bytes', (a: string) => Uint8Array.from(Buffer.from(a)), both),
  define('bool(string): bool', (a: string) => {
    if (['1', 't', 'T', 'true', 'TRUE', 'True'].includes(a)) return true;
    if (['0', 'f', 'F', 'false', 'FALSE', 'False'].includes(a)) return false;
    throw new CelError(`cannot convert string '${a}' to bool`);
  }),
  define('timestamp(string): timestamp', (a: string) => parseTimestamp(a)),
  define('timestamp(int): timestamp', (a: bigint) => new Timestamp(a * 1_000_000_000n)),
  define('duration(string): duration', (a: string) => parseDuration(a)),
  define('dyn(A): dyn', (a: Value) => a),
  define('type(A): type', (a: Value) => new TypeValue(typeName(a))),
];

/** A repetition is short to write and long to match. */
const regexCost = (size: number) => ([text, pattern]: readonly Value[]): number => Math.ceil((1 + sizeOf(text as Value)) * 0.1) * Math.max(1, Math.ceil(sizeOf(pattern as Value) * 0.25), Math.ceil(size * 0.1));

/** Whether `pattern` is found in `text`. A pattern that is none is an error of the expression. */
export function regex(pattern: string): ReturnType<typeof compileRegex> {
  try {
    return compileRegex(pattern);
  } catch (error) {
    throw new CelError(`error parsing regexp: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** A function of a text and a pattern; the pattern of most is a literal, and then read once. */
export function withPattern(signature: string, apply: (pattern: ReturnType<typeof regex>, text: string) => Value): Overload {
  const declared = define(signature, () => null);
  const call = (pattern: ReturnType<typeof regex>): Overload['call'] => (values, spend) => {
    spend(regexCost(pattern.size)(values));
    return apply(pattern, String(values[0]));
  };
  return {
    ...declared,
    call: (values, spend) => call(regex(String(values[1])))(values, spend),
    specialize: (literal) => ({ ...declared, call: call(regex(String(literal))) }),
  };
}

const texts: readonly Overload[] = [
  ...['string', 'bytes', 'list(A)', 'map(A, B)'].flatMap((type) => [define(`size(${type}): int`, (a: Value) => BigInt(sizeOf(a))), define(`${type}.size(): int`, (a: Value) => BigInt(sizeOf(a)))]),
  define('string.contains(string): bool', (a: string, b: string) => a.includes(b), ([a, b]) => traversal(sizeOf(a as Value)) * traversal(sizeOf(b as Value))),
  define('string.startsWith(string): bool', (a: string, b: string) => a.startsWith(b), ([, b]) => traversal(sizeOf(b as Value))),
  define('string.endsWith(string): bool', (a: string, b: string) => a.endsWith(b), ([, b]) => traversal(sizeOf(b as Value))),
  withPattern('string.matches(string): bool', (pattern, text) => pattern.test(text)),
  withPattern('matches(string, string): bool', (pattern, text) => pattern.test(text)),
];

export const standard: readonly Overload[] = [...operators, ...conversions, ...texts];
