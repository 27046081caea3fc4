import * as t from './types.ts';
import type { CelType } from './types.ts';
import { isNumber, MapLike, Opaque, Optional, typeName, type Value } from './values.ts';

/** What a function may spend of an expression's budget beyond its flat cost. */
export interface Spend { (cost: number): void }

export interface Overload {
  readonly name: string;
  /** Called as `receiver.name(…)`, the receiver being the first argument. */
  readonly member: boolean;
  readonly args: readonly CelType[];
  readonly result: CelType;
  readonly call: (args: readonly Value[], spend: Spend) => Value;
  /** The function for calls whose last argument is always `literal`, where knowing it saves work. */
  readonly specialize?: (literal: Value) => Overload;
}

export type Functions = ReadonlyMap<string, readonly Overload[]>;

/**
 * A function by its signature, e.g. `string.startsWith(string): bool` or `<T>` written as a capital:
 * `list(T).indexOf(T): int`. A leading `@` marks a name with dots that is no receiver: `@sets.contains(list(T), list(T)): bool`.
 * The implementation may take for granted that its arguments are of these types.
 */
export function define(signature: string, call: (...args: never[]) => Value, cost?: (args: readonly Value[]) => number): Overload {
  const [head, result] = splitAtLast(signature, ': ');
  const open = argumentsStart(head);
  const path = head.slice(0, open);
  const [receiver, name] = path.startsWith('@') ? ['', path.slice(1)] : splitAtLast(path, '.', true);
  const args = [...(receiver === '' ? [] : [receiver]), ...splitTop(head.slice(open + 1, -1))].map(parseType);
  const invoke = call as (...values: readonly Value[]) => Value;
  return {
    name, member: receiver !== '', args, result: parseType(result),
    call: (values, spend) => {
      spend(cost ? cost(values) : 1);
      return invoke(...values);
    },
  };
}

export function functionsOf(...overloads: readonly (readonly Overload[])[]): Functions {
  return Map.groupBy(overloads.flat(), ({ name }) => name);
}

function splitAtLast(text: string, separator: string, first = false): [string, string] {
  const at = text.lastIndexOf(separator);
  return at < 0 ? (first ? ['', text] : [text, '']) : [text.slice(0, at), text.slice(at + separator.length)];
}

/** The parenthesis that opens the arguments: the one that the last closes. */
function argumentsStart(head: string): number {
  let depth = 0;
  for (let i = head.length - 1; i >= 0; i--) {
    if (head[i] === ')') depth++;
    else if (head[i] === '(' && --depth === 0) return i;
  }
  return head.length;
}

function splitTop(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (char === ',' && depth === 0) {
      parts.push(text.slice(from, i).trim());
      from = i + 1;
    }
  }
  return text.trim() === '' ? [] : [...parts, text.slice(from).trim()];
}

const simple: Readonly<Record<string, CelType>> = {
  dyn: t.dyn, null: t.nullType, bool: t.bool, int: t.int, uint: t.uint, double: t.double, string: t.string, bytes: t.bytes, timestamp: t.timestamp, duration: t.duration, type: t.typeType,
};

export function parseType(text: string): CelType {
  if (/^[A-Z]$/.test(text)) return t.parameter(text);
  const known = Object.hasOwn(simple, text) ? simple[text] : undefined;
  if (known) return known;
  const open = text.indexOf('(');
  if (open < 0) return t.opaque(text);
  const [first = t.dyn, second = t.dyn] = splitTop(text.slice(open + 1, -1)).map(parseType);
  const name = text.slice(0, open);
  return name === 'list' ? t.list(first) : name === 'map' ? t.map(first, second) : t.optional(first);
}

/** Whether a value fits where a function asks for `type`; parameters take all. */
export function fits(type: CelType, value: Value): boolean {
  switch (type.kind) {
    case 'dyn': case 'parameter': return true;
    case 'list': return Array.isArray(value);
    case 'map': case 'object': return value instanceof MapLike;
    case 'opaque': return type.name === 'optional_type' ? value instanceof Optional : value instanceof Opaque && value.typeName === type.name;
    default: return typeName(value) === t.printType(type) || (type.kind === 'double' && typeof value === 'number' && isNumber(value));
  }
}
