import { forbidden, invalid, type FieldError } from '../meta/field-error.ts';
import { copyJson, deeperThan, isRecord, maxDepth, own, setOwn, type JsonRecord } from '../meta/json.ts';
import { schemaNamed, type Schema } from '../meta/schema.ts';
import { cleanCopy, type StructureReport } from '../meta/validate.ts';

const maxReports = 100;

/**
 * A copy of a custom resource without what its schema lacks. Types are not looked at, except where the API itself
 * depends on them: `apiVersion`, `kind` and `metadata`, at the root and in embedded resources.
 */
export function cleanCustom(schema: Schema, value: unknown): StructureReport & { readonly value: unknown } {
  if (deeperThan(value, maxDepth)) return { value: {}, unknown: [], errors: [invalid('', '...', `must not nest deeper than ${maxDepth} levels`)] };
  const pruning = new Pruning();
  return { value: pruning.object(schema, isRecord(value) ? value : {}, ''), errors: pruning.errors, unknown: pruning.unknown };
}

class Pruning {
  readonly errors: FieldError[] = [];
  readonly unknown: string[] = [];

  visit(schema: Schema, value: unknown, path: string): unknown {
    if (Array.isArray(value)) {
      const { items } = schema;
      return items === undefined ? copyJson(value) : value.map((item, i) => this.visit(items, item, `${path}[${i}]`));
    }
    return isRecord(value) ? this.object(schema, value, path) : value;
  }

  object(schema: Schema, record: JsonRecord, path: string): JsonRecord {
    const copy: JsonRecord = {};
    for (const key of Object.keys(record)) {
      const value = this.#property(schema, key, own(record, key), path === '' ? key : `${path}.${key}`);
      if (value !== undefined) setOwn(copy, key, value);
    }
    return copy;
  }

  #property(schema: Schema, key: string, value: unknown, path: string): unknown {
    const { properties, additionalProperties } = schema;
    const property = properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (property?.$ref !== undefined) return this.#typed(property.$ref, value, path);
    if (property !== undefined) return this.#member(property, value, path);
    if (isRecord(additionalProperties)) return this.#member(additionalProperties as Schema, value, path);
    if (additionalProperties === true || schema['x-kubernetes-preserve-unknown-fields'] === true) return copyJson(value);
    if (this.unknown.length < maxReports) this.unknown.push(path);
    return undefined;
  }

  /** Null is data only where the schema says so; elsewhere it is the same as absent. */
  #member(schema: Schema, value: unknown, path: string): unknown {
    return value === null && schema.nullable !== true && schema['x-kubernetes-preserve-unknown-fields'] !== true ? undefined : this.visit(schema, value, path);
  }

  #typed(name: string, value: unknown, path: string): unknown {
    if (value === null) return undefined;
    if (!isRecord(value)) {
      this.errors.push(forbidden(path, 'must be an object'));
      return undefined;
    }
    const { value: copy, errors, unknown } = cleanCopy(schemaNamed(name), value);
    const at = (field: string): string => (field.startsWith('[') ? `${path}${field}` : `${path}.${field}`);
    this.errors.push(...errors.map((error) => ({ ...error, field: at(error.field) })));
    this.unknown.push(...unknown.map(at));
    return copy;
  }
}
