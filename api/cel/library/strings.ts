import { CelError } from '../errors.ts';
import { define, type Overload } from '../functions.ts';
import { isNumber, MapLike, sizeOf, Steps, Timestamp, Duration, TypeValue, Uint, type Value } from '../values.ts';
import { printDouble, traversal } from './standard.ts';
import { formatDuration, formatTimestamp } from './time.ts';

/** cel-go's `strings` extension, version 2. Positions count characters. */
const chars = (text: string): string[] => Array.from(text);
/** By what it may grow to. */
const replaced = ([text, from, to]: readonly Value[]): number => traversal(sizeOf(text as Value), ((sizeOf(text as Value) + 1) * sizeOf(to as Value)) / Math.max(1, sizeOf(from as Value)));
const whole = ([text]: readonly Value[]): number => traversal(sizeOf(text as Value));

function position(at: bigint, length: number): number {
  if (at < 0n || at > BigInt(length)) throw new CelError(`index out of range: ${at}`);
  return Number(at);
}

function indexOf(text: string, part: string, from: bigint): bigint {
  const all = chars(text);
  const start = position(from, all.length);
  const found = all.slice(start).join('').indexOf(part);
  return found < 0 ? -1n : BigInt(start + chars(all.slice(start).join('').slice(0, found)).length);
}

function lastIndexOf(text: string, part: string, from: bigint): bigint {
  const all = chars(text);
  const last = position(from, all.length);
  const wanted = chars(part);
  for (let i = Math.min(last, all.length - wanted.length); i >= 0; i--) if (wanted.every((char, j) => all[i + j] === char)) return BigInt(i);
  return -1n;
}

function substring(text: string, from: bigint, to: bigint): string {
  const all = chars(text);
  const [start, end] = [position(from, all.length), position(to, all.length)];
  if (start > end) throw new CelError(`invalid substring range. start: ${start}, end: ${end}`);
  return all.slice(start, end).join('');
}

function replace(text: string, from: string, to: string, times: bigint): string {
  if (times < 0n) return text.replaceAll(from, () => to);
  let rest = text;
  let result = '';
  for (let i = 0n; i < times; i++) {
    const at = rest.indexOf(from);
    if (at < 0) break;
    result += rest.slice(0, at) + to;
    rest = rest.slice(at + from.length);
    if (from === '') {
      const [first = ''] = chars(rest);
      if (first === '') break;
      result += first;
      rest = rest.slice(first.length);
    }
  }
  return result + rest;
}

function split(text: string, by: string, limit: bigint): string[] {
  if (limit === 0n) return [];
  if (limit === 1n) return [text];
  const parts = by === '' ? chars(text) : text.split(by);
  if (limit < 0n || BigInt(parts.length) <= limit) return parts;
  const kept = Number(limit) - 1;
  return [...parts.slice(0, kept), parts.slice(kept).join(by)];
}

function quote(text: string): string {
  const escapes: Readonly<Record<string, string>> = { '\x07': '\\a', '\b': '\\b', '\f': '\\f', '\n': '\\n', '\r': '\\r', '\t': '\\t', '\v': '\\v', '\\': '\\\\', '"': '\\"' };
  return `"${text.replaceAll(/[\x07\b\f\n\r\t\v\\"]/g, (char) => escapes[char] ?? char)}"`; // oxlint-disable-line no-control-regex
}

/** A value within `%s`. */
function printed(value: Value, steps: Steps): string {
  steps.take(typeof value === 'string' ? 1 + value.length : 1);
  if (value === null) return 'null';
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return printDouble(value);
  if (typeof value === 'bigint' || typeof value === 'boolean') return String(value);
  if (value instanceof Uint) return String(value.value);
  if (value instanceof Timestamp) return formatTimestamp(value);
  if (value instanceof Duration) return formatDuration(value);
  if (value instanceof TypeValue) return value.name;
  if (value instanceof Uint8Array) return Buffer.from(value).toString();
  if (Array.isArray(value)) return `[${(value as readonly Value[]).map((item) => printed(item, steps)).join(', ')}]`;
  if (value instanceof MapLike) return `{${[...value.keys()].map((key) => `${printed(key, steps)}: ${printed(value.get(key) ?? null, steps)}`).sort().join(', ')}}`;
  throw new CelError('could not convert argument to string');
}

function format(text: string, args: readonly Value[]): string {
  let next = 0;
  const steps = new Steps();
  return text.replaceAll(/%(?:%|(?:\.(\d+))?([a-zA-Z]?))/g, (clause, precision: string | undefined, verb: string | undefined) => {
    if (clause === '%%') return '%';
    const value = args[next++];
    if (value === undefined) throw new CelError(`index ${next - 1} out of range`);
    const digits = precision === undefined ? 6 : Number(precision);
    if (digits > 100) throw new CelError(`precision ${digits} is too large`);
    switch (verb) {
      case 's': return printed(value, steps);
      case 'd': if (isNumber(value) || typeof value === 'bigint') return printed(value, steps); break;
      case 'f': if (isNumber(value)) return Number(printed(value, steps)).toFixed(digits); break;
      case 'e': if (isNumber(value)) return Number(printed(value, steps)).toExponential(digits).replace(/e([+-])(\d)$/, 'e$10$2'); break;
      case 'b': if (typeof value === 'boolean') return value ? '1' : '0'; return integer(value).toString(2);
      case 'o': return integer(value).toString(8);
      case 'x': return hex(value);
      case 'X': return hex(value).toUpperCase();
      default: throw new CelError(`could not parse formatting clause: unrecognized formatting clause "${verb ?? ''}"`);
    }
    throw new CelError(`error during formatting: ${verb} clause does not take this value`);
  });
}

function integer(value: Value): bigint {
  if (typeof value === 'bigint') return value;
  if (value instanceof Uint) return value.value;
  throw new CelError('error during formatting: only integers can be formatted so');
}

function hex(value: Value): string {
  if (typeof value === 'string') return Buffer.from(value).toString('hex');
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : integer(value).toString(16);
}

const lengthOf = (text: string): bigint => BigInt(chars(text).length);

export const strings: readonly Overload[] = [
  define('string.charAt(int): string', (a: string, at: bigint) => chars(a)[position(at, chars(a).length)] ?? ''),
  define('string.indexOf(string): int', (a: string, b: string) => indexOf(a, b, 0n), whole),
  define('string.indexOf(string, int): int', indexOf, whole),
  define('string.lastIndexOf(string): int', (a: string, b: string) => lastIndexOf(a, b, lengthOf(a)), whole),
  define('string.lastIndexOf(string, int): int', lastIndexOf, whole),
  define('string.lowerAscii(): string', (a: string) => a.replaceAll(/[A-Z]+/g, (part) => part.toLowerCase()), whole),
  define('string.upperAscii(): string', (a: string) => a.replaceAll(/[a-z]+/g, (part) => part.toUpperCase()), whole),
  define('string.replace(string, string): string', (a: string, from: string, to: string) => replace(a, from, to, -1n), replaced),
  define('string.replace(string, string, int): string', replace, replaced),
  define('string.split(string): list(string)', (a: string, by: string) => split(a, by, -1n), whole),
  define('string.split(string, int): list(string)', split, whole),
  define('string.substring(int): string', (a: string, from: bigint) => substring(a, from, lengthOf(a)), whole),
  define('string.substring(int, int): string', substring, whole),
  define('string.trim(): string', (a: string) => a.trim(), whole),
  define('string.reverse(): string', (a: string) => chars(a).reverse().join(''), whole),
  define('list(string).join(): string', (a: readonly string[]) => a.join(''), ([a]) => traversal(...(a as readonly string[]).map((s) => s.length))),
  define('list(string).join(string): string', (a: readonly string[], by: string) => a.join(by), ([a, by]) => traversal(...(a as readonly string[]).map((s) => s.length + (by as string).length))),
  define('@strings.quote(string): string', quote, whole),
  define('string.format(list(dyn)): string', (a: string, args: readonly Value[]) => format(a, args), ([a, args]) => traversal(sizeOf(a as Value), sizeOf(args as Value))),
];
