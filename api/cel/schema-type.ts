import { isRecord } from '../meta/json.ts';
import { resolve, type Schema } from '../meta/schema.ts';
import * as t from './types.ts';
import type { CelType, ObjectField } from './types.ts';

const keywords = new Set(['true', 'false', 'null', 'in', 'as', 'break', 'const', 'continue', 'else', 'for', 'function', 'if', 'import', 'let', 'loop', 'package', 'namespace', 'return']);
const formats: Readonly<Record<string, CelType>> = { 'date-time': t.timestamp, date: t.timestamp, duration: t.duration, byte: t.bytes };

/** A field's name in expressions; undefined where it cannot be written as one. Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules */
export function escapeName(name: string): string | undefined {
  if (!/^[a-zA-Z_./-][a-zA-Z0-9_./-]*$/.test(name)) return undefined;
  if (keywords.has(name)) return `__${name}__`;
  return name.replaceAll(/__|[.\-/]/g, (part) => ({ '__': '__underscores__', '.': '__dot__', '-': '__dash__', '/': '__slash__' })[part] ?? part);
}

const metadataType: CelType = object('metadata', { name: t.string, generateName: t.string });

function object(name: string, fields: Readonly<Record<string, CelType>>): CelType {
  return { kind: 'object', name, fields: new Map(Object.entries(fields).map(([field, type]) => [field, { type, json: field }])) };
}

/** The type of what a schema describes. `resource`: it is an API object, of whose metadata only the names are seen. */
export function typeOfSchema(schema: Schema, resource = false, name = 'self'): CelType {
  const target = resolve(schema);
  if (target['x-kubernetes-int-or-string'] === true) return t.dyn;
  switch (target.type) {
    case 'array': return { kind: 'list', item: target.items ? typeOfSchema(target.items, false, `${name}.@idx`) : t.dyn, ...listKeys(target) };
    case 'object': return objectType(target, resource || target['x-kubernetes-embedded-resource'] === true, name);
    case 'boolean': return t.bool;
    case 'integer': return t.int;
    case 'number': return t.double;
    case 'string': return formats[target.format ?? ''] ?? t.string;
    default: return t.dyn;
  }
}

/** Lists that are sets or maps have no order. */
function listKeys(schema: Schema): { keys?: readonly string[] } {
  if (schema['x-kubernetes-list-type'] === 'set') return { keys: [] };
  if (schema['x-kubernetes-list-type'] !== 'map') return {};
  return { keys: (schema['x-kubernetes-list-map-keys'] ?? []).flatMap((key) => escapeName(key) ?? []) };
}

function objectType(schema: Schema, resource: boolean, name: string): CelType {
  const { properties, additionalProperties } = schema;
  if (isRecord(additionalProperties)) return t.map(t.string, typeOfSchema(additionalProperties as Schema, false, `${name}.@elem`));
  if (additionalProperties === true) return t.map(t.string, t.dyn);
  const fields = new Map<string, ObjectField>();
  for (const [json, property] of Object.entries(properties ?? {})) {
    const field = escapeName(json);
    if (field === undefined || (resource && json === 'metadata')) continue;
    fields.set(field, { json, type: typeOfSchema(property, false, `${name}.${json}`) });
  }
  if (resource) {
    for (const json of ['apiVersion', 'kind']) fields.set(json, { json, type: t.string });
    fields.set('metadata', { json: 'metadata', type: metadataType });
  }
  return { kind: 'object', name, fields };
}
