import { isRecord, own, type JsonRecord } from './json.ts';
import { resolve, type Schema } from './schema.ts';

/**
 * Deletes from `value`, in place, the optional lists and maps that are empty: to Kubernetes they are the same as absent, and
 * nobody gets them back. Structs stay, whatever is in them: `emptyDir: {}` says something.
 */
export function omitEmpty(schema: Schema, value: unknown): void {
  if (Array.isArray(value)) {
    const { items } = resolve(schema);
    if (items !== undefined && holdsMore(items)) for (const item of value) omitEmpty(items, item);
    return;
  }
  if (!isRecord(value)) return;
  const { properties, additionalProperties, required } = resolve(schema);
  if (isRecord(additionalProperties)) {
    if (holdsMore(additionalProperties)) for (const key of Object.keys(value)) omitEmpty(additionalProperties, own(value, key));
    return;
  }
  for (const key of Object.keys(value)) {
    const property = properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : undefined;
    const child = own(value, key);
    if (property === undefined || (!isRecord(child) && !Array.isArray(child))) continue;
    if (isEmptyCollection(property, child) && required?.includes(key) !== true) Reflect.deleteProperty(value, key);
    else omitEmpty(property, child);
  }
}

function holdsMore({ $ref, type }: Schema): boolean {
  return $ref !== undefined || type === 'array' || type === 'object';
}

function isEmptyCollection(schema: Schema, value: JsonRecord | readonly unknown[]): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return Object.keys(value).length === 0 && isRecord(resolve(schema).additionalProperties);
}
