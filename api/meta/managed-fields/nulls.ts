import { isRecord, own, setOwn, type JsonRecord } from '../json.ts';
import { resolve, type Schema } from '../schema.ts';
import { shapeOf } from './shape.ts';

/**
 * `clean` with the nulls that a configuration had where a scalar stands: who applies null owns the field and takes its
 * value away. A null where a map or a list stands says nothing. `clean` is `raw` without nulls and unknown fields.
 */
export function withNulls(schema: Schema, raw: unknown, clean: unknown): unknown {
  const shape = shapeOf(schema, clean);
  if (shape.kind === 'list' && Array.isArray(raw)) return shape.value.map((item, i) => withNulls(shape.items, raw[i], item));
  if (shape.kind !== 'map' || !isRecord(raw)) return clean;
  const result: JsonRecord = {};
  for (const key of Object.keys(shape.value)) setOwn(result, key, withNulls(shape.schemaOf(key), own(raw, key), own(shape.value, key)));
  for (const key of Object.keys(raw)) {
    if (own(raw, key) === null && !Object.hasOwn(result, key) && shape.named(key) && isScalar(shape.schemaOf(key))) setOwn(result, key, null);
  }
  return result;
}

/** `value` without nulls where they are not data. */
export function withoutNulls(schema: Schema, value: unknown): unknown {
  const shape = shapeOf(schema, value);
  if (shape.kind === 'list') return shape.value.map((item) => withoutNulls(shape.items, item));
  if (shape.kind === 'whole') return value;
  const result: JsonRecord = {};
  for (const key of Object.keys(shape.value)) {
    const child = own(shape.value, key);
    if (child !== null || !shape.named(key) || resolve(shape.schemaOf(key)).nullable === true) setOwn(result, key, withoutNulls(shape.schemaOf(key), child));
  }
  return result;
}

function isScalar(schema: Schema): boolean {
  const { type, nullable, ...rest } = resolve(schema);
  return nullable !== true && (rest['x-kubernetes-int-or-string'] === true || ['string', 'integer', 'number', 'boolean'].includes(type ?? ''));
}
