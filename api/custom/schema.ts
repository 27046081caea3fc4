import { isRecord, setOwn } from '../meta/json.ts';
import type { Schema } from '../meta/schema.ts';

const text: Schema = { type: 'string' };
const metadata: Schema = { $ref: 'ObjectMeta' };
const anything: Schema = { 'x-kubernetes-preserve-unknown-fields': true };

/**
 * A version's `openAPIV3Schema` as the engine reads it: what every object has is written out, at the root and in
 * embedded resources. What the author says about `metadata` is kept apart, by `metadataRules`.
 */
export function rootSchema(schema: Schema | undefined): Schema {
  return asResource(expand({ type: 'object', ...(schema ?? anything) }));
}

/** What a version demands of `metadata.name` and `metadata.generateName`. */
export function metadataRules(schema: Schema | undefined): Schema | undefined {
  return schema?.properties?.['metadata'];
}

function asResource(schema: Schema): Schema {
  return { ...schema, properties: { ...schema.properties, apiVersion: text, kind: text, metadata } };
}

/** Schemas are large: what needs no change is shared with what was given. */
function expand(schema: Schema): Schema {
  const { properties, items, additionalProperties } = schema;
  const changes: { properties?: Record<string, Schema>; items?: Schema; additionalProperties?: Schema } = {};
  for (const [name, property] of Object.entries(properties ?? {})) {
    const expanded = expand(property);
    if (expanded !== property) setOwn(changes.properties ??= { ...properties }, name, expanded);
  }
  const item = items && expand(items);
  if (item && item !== items) changes.items = item;
  const rest = isRecord(additionalProperties) ? expand(additionalProperties as Schema) : undefined;
  if (rest && rest !== additionalProperties) changes.additionalProperties = rest;
  const expanded = Object.keys(changes).length > 0 ? { ...schema, ...changes } : schema;
  return schema['x-kubernetes-embedded-resource'] === true ? asResource(expanded) : expanded;
}

/** Every schema within `schema` that describes a part of the object, with the path that leads there: `spec.items[*]`. */
export function* parts(schema: Schema, path = ''): Iterable<readonly [string, Schema]> {
  yield [path, schema];
  for (const [name, property] of Object.entries(schema.properties ?? {})) yield* parts(property, path === '' ? name : `${path}.${name}`);
  if (schema.items) yield* parts(schema.items, `${path}[*]`);
  if (isRecord(schema.additionalProperties)) yield* parts(schema.additionalProperties as Schema, `${path}[*]`);
}
