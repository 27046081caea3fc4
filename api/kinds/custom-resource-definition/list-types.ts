import { invalid, notSupported, required, type FieldError } from '../../meta/field-error.ts';
import type { Schema } from '../../meta/schema.ts';

const listType = 'x-kubernetes-list-type';
const listKeys = 'x-kubernetes-list-map-keys';
const mapType = 'x-kubernetes-map-type';

/** What `x-kubernetes-list-type`, `-list-map-keys` and `-map-type` ask of the schema they stand in. */
export function listTypeErrors(schema: Schema, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const type = schema[listType];
  const keys = schema[listKeys] ?? [];
  if (type !== undefined) {
    if (!['atomic', 'set', 'map'].includes(type)) errors.push(notSupported(`${field}.${listType}`, type, ['atomic', 'map', 'set']));
    errors.push(...mustBe(schema, 'array', `${listType} is true`, field));
  }
  if (keys.length > 0 && type !== 'map') errors.push(type === undefined ? required(`${field}.${listType}`, `must be map if ${listKeys} is non-empty`) : invalid(`${field}.${listType}`, type, `must be map if ${listKeys} is non-empty`));
  if (type === 'map') errors.push(...mapListErrors(schema, keys, field));
  if (type === 'set') errors.push(...setErrors(schema, field));
  const map = schema[mapType];
  if (map !== undefined) {
    if (!['granular', 'atomic'].includes(map)) errors.push(notSupported(`${field}.${mapType}`, map, ['atomic', 'granular']));
    errors.push(...mustBe(schema, 'object', `${mapType} is true`, field));
  }
  return errors;
}

function mustBe({ type }: Schema, wanted: string, when: string, field: string): FieldError[] {
  if (type === wanted) return [];
  return [type ? invalid(`${field}.type`, type, `must be ${wanted} if ${when}`) : required(`${field}.type`, `must be ${wanted} if ${when}`)];
}

function mapListErrors({ items }: Schema, keys: readonly string[], field: string): FieldError[] {
  const errors: FieldError[] = [];
  if (keys.length === 0) errors.push(required(`${field}.${listKeys}`, `must not be empty if ${listType} is map`));
  if (items === undefined) return [...errors, required(`${field}.items`, `must have a schema if ${listType} is map`)];
  if (items.type !== 'object') errors.push(invalid(`${field}.items.type`, items.type ?? '', `must be object if parent array's ${listType} is map`));
  for (const [i, key] of keys.entries()) {
    const property = items.properties?.[key];
    if (keys.indexOf(key) !== i) errors.push(invalid(`${field}.${listKeys}[${i}]`, key, 'entries must be unique'));
    if (property === undefined) {
      errors.push(invalid(`${field}.${listKeys}[${i}]`, key, 'entries must all be names of item properties'));
      continue;
    }
    const path = `${field}.items.properties[${key}]`;
    if (property.type === 'array' || property.type === 'object') errors.push(invalid(`${path}.type`, property.type, 'must be a scalar type if parent array\'s x-kubernetes-list-type is map'));
    if (property.default === undefined && !items.required?.includes(key)) errors.push(required(`${path}.default`, `this property is in ${listKeys}, so it must have a default or be a required property`));
    if (property.nullable === true) errors.push(invalid(`${path}.nullable`, true, `this property is in ${listKeys}, so it cannot be nullable`));
  }
  return errors;
}

function setErrors({ items }: Schema, field: string): FieldError[] {
  if (items === undefined) return [required(`${field}.items`, `must have a schema if ${listType} is set`)];
  const errors: FieldError[] = [];
  if (items.nullable === true) errors.push(invalid(`${field}.items.nullable`, true, `cannot be nullable when parent array's ${listType} is set`));
  if (items.type === 'object' && items[mapType] !== 'atomic') errors.push(invalid(`${field}.items.${mapType}`, items[mapType] ?? '', `must be atomic as item of a list with ${listType}=set`));
  if (items.type === 'array' && (items[listType] ?? 'atomic') !== 'atomic') errors.push(invalid(`${field}.items.${listType}`, items[listType], `must be atomic as item of a list with ${listType}=set`));
  return errors;
}
