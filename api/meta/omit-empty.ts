import { isRecord, own, type JsonRecord } from './json.ts';
import { resolve, type Schema } from './schema.ts';

/**
 * Deletes from `value`, in place, the optional lists and maps that are empty, and the optional zeros of those scalars whose
 * zero is no value: to Kubernetes they are the same as absent, and nobody gets them back. Structs stay, whatever is in them:
 * `emptyDir: {}` says something. `schema` is of the contract.
 */
export function omitEmpty(schema: Schema, value: unknown): void {
  if (Array.isArray(value)) {
    const { items } = resolve(schema);
    if (items !== undefined && holdsMore(items)) for (const item of value) omitEmpty(items, item);
    return;
  }
  if (!isRecord(value)) return;
  const { properties, additionalProperties, required, keepsZeros } = resolve(schema);
  if (isRecord(additionalProperties)) {
    if (holdsMore(additionalProperties)) for (const key of Object.keys(value)) omitEmpty(additionalProperties, own(value, key));
    return;
  }
  for (const key of Object.keys(value)) {
    const property = properties !== undefined && Object.hasOwn(properties, key) ? properties[key] : undefined;
    const child = own(value, key);
    if (property === undefined) continue;
    if (child === 0 || child === '' || child === false) {
      if (isScalar(property) && required?.includes(key) !== true && keepsZeros?.includes(key) !== true) Reflect.deleteProperty(value, key);
      continue;
    }
    if (!isRecord(child) && !Array.isArray(child)) continue;
    if (isEmptyCollection(property, child) && required?.includes(key) !== true) Reflect.deleteProperty(value, key);
    else omitEmpty(property, child);
  }
}

function isScalar({ type, format }: Schema): boolean {
  return (type === 'string' || type === 'integer' || type === 'number' || type === 'boolean') && format !== 'quantity' && format !== 'date-time';
}

function holdsMore({ $ref, type }: Schema): boolean {
  return $ref !== undefined || type === 'array' || type === 'object';
}

function isEmptyCollection(schema: Schema, value: JsonRecord | readonly unknown[]): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return Object.keys(value).length === 0 && isRecord(resolve(schema).additionalProperties);
}
