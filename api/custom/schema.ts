import { isRecord } from '../meta/json.ts';
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

/** Fields that hold nothing but checks of a value have no fields, items or resources of their own to expand. */
function expand(schema: Schema): Schema {
  const { properties, items, additionalProperties } = schema;
  const expanded: Schema = {
    ...schema,
    ...(properties && { properties: Object.fromEntries(Object.entries(properties).map(([name, property]) => [name, expand(property)])) }),
    ...(items && { items: expand(items) }),
    ...(isRecord(additionalProperties) && { additionalProperties: expand(additionalProperties as Schema) }),
  };
  return schema['x-kubernetes-embedded-resource'] === true ? asResource(expanded) : expanded;
}

/** Every schema within `schema` that describes a part of the object, with the path that leads there: `spec.items[*]`. */
export function* parts(schema: Schema, path = ''): Iterable<readonly [string, Schema]> {
  yield [path, schema];
  for (const [name, property] of Object.entries(schema.properties ?? {})) yield* parts(property, path === '' ? name : `${path}.${name}`);
  if (schema.items) yield* parts(schema.items, `${path}[*]`);
  if (isRecord(schema.additionalProperties)) yield* parts(schema.additionalProperties as Schema, `${path}[*]`);
}
