import { invalid, notSupported, required, typeInvalid, type FieldError } from './field-error.ts';
import { isRecord, maxDepth, own, setOwn, copyJson, deeperThan, type JsonRecord } from './json.ts';
import { equal } from './equal.ts';
import { canonicalQuantity } from './quantity.ts';
import { canonicalTime, formatProblem } from './formats.ts';
import { resolve, type Schema } from './schema.ts';
import type { Mistyped } from './type-words.ts';

export interface StructureReport {
  readonly errors: FieldError[];
  /** Dotted paths of fields that the schema lacks, e.g. `spec.containers[0].imagee`. */
  readonly unknown: string[];
  /** The first of the errors that is about a value of the wrong type. */
  mistyped?: Mistyped;
}

const ofType = 'must be of type';
/** More of either than this tells a reader nothing new, and an answer must stay small. */
const maxReports = 100;

/** Fields of the type MicroTime, which the schemas do not tell from Time. */
const microTimes = new Set<string | number | undefined>(['acquireTime', 'eventTime', 'lastObservedTime', 'renewTime']);

/** Where the walk stands. Written out only when there is something to report. */
class Path {
  readonly #parts: Array<string | number> = [];

  get last(): string | number | undefined {
    return this.#parts.at(-1);
  }

  get parts(): readonly (string | number)[] {
    return [...this.#parts];
  }

  get depth(): number {
    return this.#parts.length;
  }

  enter(part: string | number): void {
    this.#parts.push(part);
  }

  leave(): void {
    this.#parts.pop();
  }

  toString(): string {
    return this.#parts.reduce<string>((text, part) => {
      if (typeof part === 'number') return `${text}[${part}]`;
      return text === '' ? part : `${text}.${part}`;
    }, '');
  }
}

/**
 * One pass over a value that reports what is wrong and, if asked for, builds a clean copy: without unknown fields, with
 * null meaning absent, with quantities and times in canonical form. Every write takes it twice: it makes no more
 * objects on its way than the copy. What it throws ends it, so its path is not set right again.
 */
class Walk {
  readonly report: StructureReport = { errors: [], unknown: [] };
  readonly #path = new Path();
  readonly #copies: boolean;

  constructor(copies: boolean) {
    this.#copies = copies;
  }

  visit(schema: Schema, value: unknown): unknown {
    const target = resolve(schema);
    if (this.#path.depth > maxDepth) return this.#fail(invalid(String(this.#path), '...', `must not nest deeper than ${maxDepth} levels`));
    const problem = typeProblem(target, value);
    if (problem !== undefined) {
      if (this.report.errors.length === 0 && problem.startsWith(ofType)) this.report.mistyped = { path: this.#path.parts, value };
      return this.#fail(typeInvalid(String(this.#path), shorten(value), problem));
    }
    if (target.enum !== undefined && !target.enum.some((item) => equal(item, value))) {
      return this.#fail(notSupported(String(this.#path), value, target.enum.map(String)));
    }
    if (Array.isArray(value) && target.items !== undefined) return this.#list(target.items, value);
    if (isRecord(value) && (target.properties !== undefined || target.additionalProperties !== undefined)) return this.#object(target, value);
    if (!this.#copies && typeof value !== 'object') return value;
    if (target.format === 'quantity') return canonicalQuantity(value as string | number);
    if (target.format === 'date-time' && typeof value === 'string') return canonicalTime(value, microTimes.has(this.#path.last));
    return this.#open(value);
  }

  #fail(error: FieldError): undefined {
    if (this.report.errors.length < maxReports) this.report.errors.push(error);
    return undefined;
  }

  /** A value about which the schema says nothing more. */
  #open(value: unknown): unknown {
    if (deeperThan(value, maxDepth - this.#path.depth)) {
      return this.#fail(invalid(String(this.#path), '...', `must not nest deeper than ${maxDepth} levels`));
    }
    return this.#copies ? copyJson(value) : value;
  }

  #list(items: Schema, list: readonly unknown[]): readonly unknown[] {
    const copy: unknown[] = [];
    for (let i = 0; i < list.length; i++) {
      this.#path.enter(i);
      const item = this.visit(items, list[i]);
      this.#path.leave();
      if (this.#copies) copy.push(item);
    }
    return this.#copies ? copy : list;
  }

  #object(schema: Schema, record: JsonRecord): JsonRecord {
    const copy: JsonRecord = this.#copies ? {} : record;
    for (const key of Object.keys(record)) {
      this.#path.enter(key);
      const value = this.#property(schema, key, own(record, key));
      this.#path.leave();
      if (this.#copies && value !== undefined) setOwn(copy, key, value);
    }
    if (schema.required) this.#requireFields(schema.required, copy, record);
    return copy;
  }

  #requireFields(names: readonly string[], copy: JsonRecord, record: JsonRecord): void {
    for (const key of names) {
      // A key of a free map without a value is an empty string in the copy.
      if ((this.#copies && Object.hasOwn(copy, key)) || (own(record, key) ?? null) !== null) continue;
      this.#path.enter(key);
      this.#fail(required(String(this.#path)));
      this.#path.leave();
    }
  }

  #property(schema: Schema, key: string, value: unknown): unknown {
    const { additionalProperties } = schema;
    const property = propertyOf(schema, key);
    if (property !== undefined) return (value ?? null) === null && !nullable(property) ? undefined : this.visit(property, value);
    if (additionalProperties === true || schema['x-kubernetes-preserve-unknown-fields'] === true) return this.#open(value);
    if (additionalProperties === undefined || additionalProperties === false) {
      if (this.report.unknown.length < maxReports) this.report.unknown.push(String(this.#path));
      return undefined;
    }
    // A key without a value, as in YAML `label:`, is an empty string to Kubernetes.
    if ((value ?? null) === null) return resolve(additionalProperties).type === 'string' && resolve(additionalProperties).format === undefined ? '' : undefined;
    return this.visit(additionalProperties, value);
  }
}

function propertyOf(schema: Schema, key: string): Schema | undefined {
  const { properties } = schema;
  return properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : undefined;
}

/** Null is data only where a schema says so; elsewhere it is the same as absent. */
function nullable(schema: Schema): boolean {
  return resolve(schema).nullable === true || resolve(schema)['x-kubernetes-preserve-unknown-fields'] === true;
}

function shorten(value: unknown): unknown {
  if (Array.isArray(value)) return 'array';
  return isRecord(value) ? 'object' : value;
}

function typeProblem(schema: Schema, value: unknown): string | undefined {
  if (schema['x-kubernetes-int-or-string'] === true) {
    return typeof value === 'string' || isInt(value, 2 ** 31) ? undefined : 'must be an integer or a string';
  }
  if (value === null && schema.nullable === true) return undefined;
  switch (schema.type) {
    case undefined: return undefined;
    case 'array': return Array.isArray(value) ? undefined : 'must be of type array';
    case 'object': return isRecord(value) ? undefined : 'must be of type object';
    case 'boolean': return typeof value === 'boolean' ? undefined : 'must be of type boolean';
    case 'number': return typeof value === 'number' ? undefined : 'must be of type number';
    case 'integer': return isInt(value, schema.format === 'int32' ? 2 ** 31 : 2 ** 53) ? undefined : `must be of type integer${schema.format === undefined ? '' : ` (${schema.format})`}`;
    case 'string': return stringProblem(schema.format, value);
    default: return undefined;
  }
}

function isInt(value: unknown, limit: number): boolean {
  return typeof value === 'number' && Number.isInteger(value) && value >= -limit && value < limit;
}

function stringProblem(format: string | undefined, value: unknown): string | undefined {
  if (format === 'quantity' && typeof value === 'number') return formatProblem(format, String(value));
  if (typeof value !== 'string') return 'must be of type string';
  return format === undefined ? undefined : formatProblem(format, value);
}

/** Checks types, required fields, formats and enums. Reads only. Nesting beyond the limit is one clear error. */
export function checkStructure(schema: Schema, value: unknown): StructureReport {
  const walk = new Walk(false);
  walk.visit(schema, value);
  return walk.report;
}

/** As `checkStructure`, and a clean copy: no unknown fields, null taken as absent, quantities in canonical form. */
export function cleanCopy(schema: Schema, value: unknown): StructureReport & { readonly value: unknown } {
  const walk = new Walk(true);
  const copy = walk.visit(schema, value);
  return { ...walk.report, value: copy };
}

/** Deletes from `value`, in place, every field that the schema lacks. */
export function prune(schema: Schema, value: unknown): void {
  pruneWithin(schema, value, 0);
}

function pruneWithin(schema: Schema, value: unknown, depth: number): void {
  if (depth > maxDepth || typeof value !== 'object' || value === null) return;
  const target = resolve(schema);
  if (Array.isArray(value)) {
    if (target.items !== undefined) for (const item of value) pruneWithin(target.items, item, depth + 1);
    return;
  }
  if (!isRecord(value) || (target.properties === undefined && target.additionalProperties === undefined)) return;
  for (const key of Object.keys(value)) {
    const { additionalProperties } = target;
    const property = propertyOf(target, key) ?? (typeof additionalProperties === 'object' ? additionalProperties : undefined);
    if (property !== undefined) pruneWithin(property, value[key], depth + 1);
    else if (additionalProperties !== true && target['x-kubernetes-preserve-unknown-fields'] !== true) delete value[key];
  }
}
