import { equal } from '../meta/equal.ts';
import { duplicate, invalid, notSupported, required, tooLong, tooMany, typeInvalid, type FieldError } from '../meta/field-error.ts';
import { isRecord, own, type JsonRecord } from '../meta/json.ts';
import type { Schema } from '../meta/schema.ts';
import { compileRegex, type Regex } from '../regex/regex.ts';
import { fitsFormat } from './formats.ts';

/** More tells a reader nothing new. */
const maxErrors = 100;

/**
 * What breaks the schema, in the words of Kubernetes. What was the same in `old` is passed over, so that an object that
 * an older schema let in can still be changed elsewhere. Fields with a `$ref` are the engine's own and not looked at.
 */
export function checkCustom(schema: Schema, value: unknown, old: unknown, patterns: Patterns): FieldError[] {
  return new Check(patterns).part(schema, value, old, '').slice(0, maxErrors);
}

/** Compiled patterns of one definition. */
export class Patterns {
  readonly #compiled = new Map<string, Regex | undefined>();

  /** A pattern that cannot be compiled was refused with its definition; one from before that rule matches everything. */
  matches(pattern: string, text: string): boolean {
    let regex = this.#compiled.get(pattern);
    if (regex === undefined && !this.#compiled.has(pattern)) this.#compiled.set(pattern, regex = tryCompile(pattern));
    return regex?.test(text) ?? true;
  }
}

function tryCompile(pattern: string): Regex | undefined {
  try {
    return compileRegex(pattern);
  } catch {
    return undefined;
  }
}

class Check {
  readonly #patterns: Patterns;

  constructor(patterns: Patterns) {
    this.#patterns = patterns;
  }

  /** A part of the object: its own checks, then those of its parts. */
  part(schema: Schema, value: unknown, old: unknown, path: string): FieldError[] {
    if (schema.$ref !== undefined || (old !== undefined && equal(value, old))) return [];
    const wrong = typeErrors(schema, value, path);
    if (wrong.length > 0) return wrong;
    const errors = [...this.#value(schema, value, path), ...this.#within(schema, value, old, path)];
    if (schema['x-kubernetes-embedded-resource'] === true && isRecord(value)) errors.push(...embeddedErrors(value, path));
    return errors;
  }

  #within(schema: Schema, value: unknown, old: unknown, path: string): FieldError[] {
    if (Array.isArray(value)) {
      const { items } = schema;
      if (items === undefined) return [];
      const before = previousItems(schema, old);
      return [
        ...value.flatMap((item, i) => this.part(items, item, before(item), `${path}[${i}]`)),
        ...uniqueErrors(schema, value, path),
      ];
    }
    if (!isRecord(value)) return [];
    return Object.keys(value).flatMap((key) => {
      const property = memberSchema(schema, key);
      return property === undefined ? [] : this.part(property, own(value, key), isRecord(old) ? own(old, key) : undefined, child(path, key));
    });
  }

  /** The checks of one value that need no look at its parts, and those within `allOf` and its like. */
  #value(schema: Schema, value: unknown, path: string): FieldError[] {
    const errors: FieldError[] = [];
    if (schema.enum !== undefined && !schema.enum.some((item) => equal(item, value))) {
      errors.push(notSupported(path, value, schema.enum.map((item) => (typeof item === 'string' ? item : JSON.stringify(item)))));
    }
    if (typeof value === 'string') errors.push(...this.#string(schema, value, path));
    else if (typeof value === 'number') errors.push(...numberErrors(schema, value, path));
    else if (Array.isArray(value)) errors.push(...sizeErrors(value.length, schema.minItems, schema.maxItems, value, 'items', path));
    else if (isRecord(value)) {
      errors.push(...sizeErrors(Object.keys(value).length, schema.minProperties, schema.maxProperties, value, 'properties', path));
      for (const key of schema.required ?? []) if (own(value, key) === undefined) errors.push(required(child(path, key)));
    }
    return [...errors, ...this.#combined(schema, value, path)];
  }

  #string(schema: Schema, value: string, path: string): FieldError[] {
    const errors: FieldError[] = [];
    const { maxLength, minLength, pattern, format } = schema;
    const length = (): number => Array.from(value).length;
    if (maxLength !== undefined && value.length > maxLength && length() > maxLength) errors.push(tooLong(path, maxLength));
    if (minLength !== undefined && (value.length < minLength || length() < minLength)) errors.push(invalid(path, value, `${path} in body should be at least ${minLength} chars long`));
    if (pattern !== undefined && !this.#patterns.matches(pattern, value)) errors.push(invalid(path, value, `${path} in body should match '${pattern}'`));
    if (format !== undefined && !fitsFormat(format, value)) errors.push(typeInvalid(path, value, `${path} in body must be of type ${format}: ${JSON.stringify(value)}`));
    return errors;
  }

  #combined(schema: Schema, value: unknown, path: string): FieldError[] {
    const { allOf, anyOf, oneOf, not } = schema;
    const errors: FieldError[] = [];
    const fail = (text: string): void => { errors.push(invalid(path, '', `${JSON.stringify(path)} must ${text}`)); };
    const failures = (branches: readonly Schema[]): FieldError[][] => branches.map((branch) => this.#branch(branch, value, path));
    const all = failures(allOf ?? []).flat();
    if (all.length > 0) {
      fail('validate all the schemas (allOf)');
      errors.push(...all);
    }
    const any = failures(anyOf ?? []);
    if (any.length > 0 && any.every((found) => found.length > 0)) {
      fail('validate at least one schema (anyOf)');
      errors.push(...fewest(any));
    }
    const one = failures(oneOf ?? []);
    const valid = one.filter((found) => found.length === 0).length;
    if (one.length > 0 && valid !== 1) {
      fail(`validate one and only one schema (oneOf). ${valid === 0 ? 'Found none valid' : `Found ${valid} valid alternatives`}`);
      if (valid === 0) errors.push(...fewest(one));
    }
    if (not !== undefined && this.#branch(not, value, path).length === 0) fail('not validate the schema (not)');
    return errors;
  }

  /** A schema that only checks: within `allOf` and its like. */
  #branch(schema: Schema, value: unknown, path: string): FieldError[] {
    const wrong = typeErrors(schema, value, path);
    return wrong.length > 0 ? wrong : [...this.#value(schema, value, path), ...this.#branchParts(schema, value, path)];
  }

  #branchParts(schema: Schema, value: unknown, path: string): FieldError[] {
    const { items } = schema;
    if (Array.isArray(value)) return items === undefined ? [] : value.flatMap((item, i) => this.#branch(items, item, `${path}[${i}]`));
    if (!isRecord(value)) return [];
    return Object.keys(value).flatMap((key) => {
      const property = memberSchema(schema, key);
      return property === undefined ? [] : this.#branch(property, own(value, key), child(path, key));
    });
  }
}

export function memberSchema(schema: Schema, key: string): Schema | undefined {
  const { properties, additionalProperties } = schema;
  if (properties !== undefined && Object.hasOwn(properties, key)) return properties[key];
  return isRecord(additionalProperties) ? additionalProperties as Schema : undefined;
}

function child(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`;
}

function fewest(failures: readonly FieldError[][]): FieldError[] {
  return failures.reduce((best, found) => (found.length < best.length ? found : best), failures[0] ?? []);
}

function typeOf(value: unknown): string {
  if (value === null || value === undefined) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value === 'object' ? 'object' : typeof value;
}

function typeErrors(schema: Schema, value: unknown, path: string): FieldError[] {
  const actual = typeOf(value);
  if (actual === 'null' && schema.nullable === true) return [];
  const wanted = schema['x-kubernetes-int-or-string'] === true ? ['integer', 'string'] : schema.type === undefined ? [] : [schema.type];
  if (wanted.length === 0 || wanted.includes(actual) || (actual === 'integer' && wanted[0] === 'number')) return [];
  const types = wanted.length === 1 ? wanted[0] ?? '' : `[${wanted.join(' ')}]`;
  return [typeInvalid(path, actual, `${path} in body must be of type ${types}: ${JSON.stringify(actual)}`)];
}

const integerRanges: Readonly<Record<string, readonly [number, number]>> = { int32: [-(2 ** 31), 2 ** 31 - 1], uint32: [0, 2 ** 32 - 1] };

function numberErrors(schema: Schema, value: number, path: string): FieldError[] {
  const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf, format = '' } = schema;
  const errors: FieldError[] = [];
  const should = (text: string): void => { errors.push(invalid(path, value, `${path} in body should be ${text}`)); };
  if (minimum !== undefined && (exclusiveMinimum === true ? value <= minimum : value < minimum)) should(`greater than ${exclusiveMinimum === true ? '' : 'or equal to '}${minimum}`);
  if (maximum !== undefined && (exclusiveMaximum === true ? value >= maximum : value > maximum)) should(`less than ${exclusiveMaximum === true ? '' : 'or equal to '}${maximum}`);
  if (multipleOf !== undefined && multipleOf > 0 && !Number.isInteger(value / multipleOf)) should(`a multiple of ${multipleOf}`);
  const range = Object.hasOwn(integerRanges, format) ? integerRanges[format] : undefined;
  if (range && (value < range[0] || value > range[1])) errors.push(invalid(path, value, `Checked value must be of type integer with format ${format} in ${path}`));
  return errors;
}

function sizeErrors(size: number, min: number | undefined, max: number | undefined, value: unknown, what: string, path: string): FieldError[] {
  if (max !== undefined && size > max) return [tooMany(path, size, max)];
  return min !== undefined && size < min ? [invalid(path, value, `${path} in body should have at least ${min} ${what}`)] : [];
}

function embeddedErrors(value: JsonRecord, path: string): FieldError[] {
  return ['apiVersion', 'kind'].flatMap((name) => {
    const found = own(value, name);
    if (found === undefined || found === '') return [required(child(path, name), 'must not be empty')];
    return typeof found === 'string' ? [] : [typeInvalid(child(path, name), found, 'must be a string')];
  });
}

/** An item's key in a list of type map: the values of its key fields, which may have defaults; in a set the item itself. */
export function itemKey(schema: Schema, item: unknown): string | undefined {
  const type = schema['x-kubernetes-list-type'];
  if (type === 'set') return JSON.stringify(item);
  if (type !== 'map' || !isRecord(item)) return undefined;
  return JSON.stringify((schema['x-kubernetes-list-map-keys'] ?? []).map((key) => own(item, key) ?? null));
}

/** Finds what an item of a list was before. Only lists of type map say which item is which. */
export function previousItems(schema: Schema, old: unknown): (item: unknown) => unknown {
  if (schema['x-kubernetes-list-type'] !== 'map' || !Array.isArray(old)) return () => undefined;
  const byKey = new Map(old.map((item) => [itemKey(schema, item), item as unknown]));
  return (item) => byKey.get(itemKey(schema, item));
}

function uniqueErrors(schema: Schema, list: readonly unknown[], path: string): FieldError[] {
  const seen = new Set<string>();
  return list.flatMap((item, i) => {
    const key = itemKey(schema, item);
    if (key === undefined || !seen.has(key)) {
      if (key !== undefined) seen.add(key);
      return [];
    }
    const keys = schema['x-kubernetes-list-map-keys'] ?? [];
    const shown = schema['x-kubernetes-list-type'] === 'map' && isRecord(item) ? Object.fromEntries(keys.map((name) => [name, own(item, name)])) : item;
    return [duplicate(`${path}[${i}]`, shown)];
  });
}
