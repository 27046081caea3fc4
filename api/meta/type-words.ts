import { isRecord } from './json.ts';
import { resolve, type Schema } from './schema.ts';

/** A value where another type was due: the first that was met. */
export interface Mistyped { readonly path: readonly (string | number)[]; readonly value: unknown }

/**
 * What Go's reader of JSON says of it, which people know and search for:
 * `json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value of type string`.
 * `name` is the type whose schema `root` is.
 */
export function typeWords(root: Schema, name: string, { path, value }: Mistyped): string {
  let [schema, struct, owner] = [root, name, name];
  const fields: string[] = [];
  for (const part of path) {
    const { items, properties, additionalProperties } = resolve(schema);
    const property = typeof part === 'string' && properties !== undefined && Object.hasOwn(properties, part) ? properties[part] : undefined;
    // Keys of maps and places in lists are no fields.
    if (property !== undefined) [owner, fields[fields.length]] = [struct, String(part)];
    schema = property ?? (typeof part === 'number' ? items : isRecord(additionalProperties) ? additionalProperties : undefined) ?? {};
    struct = schema.$ref ?? struct;
  }
  const what = jsonWord(value, schema);
  const { format, 'x-kubernetes-int-or-string': intOrString } = resolve(schema);
  if (intOrString === true) return `json: cannot unmarshal ${what} into Go value of type int32`;
  if (format === 'date-time') return `json: cannot unmarshal ${what} into Go value of type string`;
  return `json: cannot unmarshal ${what} into Go struct field ${owner}.${fields.join('.')} of type ${goType(schema)}`;
}

function jsonWord(value: unknown, schema: Schema): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'boolean') return 'bool';
  // A number that is one, but does not fit.
  if (typeof value === 'number') return resolve(schema).type === 'integer' ? `number ${String(value)}` : 'number';
  return typeof value;
}

function goType(schema: Schema): string {
  if (schema.$ref !== undefined) return `v1.${schema.$ref}`;
  const { type, format, items, additionalProperties } = schema;
  switch (type) {
    case 'array': return format === 'byte' ? '[]uint8' : `[]${goType(items ?? {})}`;
    case 'object': return `map[string]${isRecord(additionalProperties) ? goType(additionalProperties) : 'interface {}'}`;
    case 'boolean': return 'bool';
    case 'integer': return format ?? 'int64';
    case 'number': return 'float64';
    default: return format === 'byte' ? '[]uint8' : 'string';
  }
}
