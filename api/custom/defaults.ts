import { copyJson, isRecord, own, setOwn } from '../meta/json.ts';
import type { Schema } from '../meta/schema.ts';

/** Fills in what the schema says is meant where nothing is said. Changes `value` in place. Idempotent. */
export function setSchemaDefaults(schema: Schema, value: unknown): void {
  if (Array.isArray(value)) {
    const { items } = schema;
    if (items === undefined) return;
    for (const [i, item] of value.entries()) {
      if (item === null && hasDefault(items)) value[i] = copyJson(items.default);
      setSchemaDefaults(items, value[i]);
    }
    return;
  }
  if (!isRecord(value)) return;
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    const present = own(value, name);
    if (property.$ref !== undefined) continue;
    if (hasDefault(property) && (present === undefined || (present === null && property.nullable !== true))) setOwn(value, name, copyJson(property.default));
    setSchemaDefaults(property, own(value, name));
  }
  const rest = schema.additionalProperties;
  if (!isRecord(rest)) return;
  for (const key of Object.keys(value)) {
    if (schema.properties !== undefined && Object.hasOwn(schema.properties, key)) continue;
    if (own(value, key) === null && hasDefault(rest) && rest['nullable'] !== true) setOwn(value, key, copyJson(rest['default']));
    setSchemaDefaults(rest as Schema, own(value, key));
  }
}

function hasDefault(schema: { readonly default?: unknown }): boolean {
  return schema.default !== undefined && schema.default !== null;
}
