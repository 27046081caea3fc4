import { checkCustom, Patterns } from '../../custom/check.ts';
import { setSchemaDefaults } from '../../custom/defaults.ts';
import { cleanCustom } from '../../custom/prune.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, invalid, type FieldError } from '../../meta/field-error.ts';
import { copyJson, isRecord } from '../../meta/json.ts';
import type { Schema } from '../../meta/schema.ts';

/** A default must itself be what the schema lets in, with the defaults below it filled in. */
export function defaultErrors(root: Schema, field: string): FieldError[] {
  const patterns = new Patterns();
  const visit = (schema: Schema, path: string, inMetadata: boolean): FieldError[] => {
    const { properties, items, additionalProperties } = schema;
    const isResource = schema === root || schema['x-kubernetes-embedded-resource'] === true;
    return [
      ...(schema.default === undefined ? [] : inMetadata ? [forbidden(`${path}.default`, 'must not be set in metadata')] : valueErrors(schema, path, patterns)),
      ...Object.entries(properties ?? {}).flatMap(([name, property]) => visit(property, `${path}.properties[${name}]`, inMetadata || (isResource && ['metadata', 'apiVersion', 'kind'].includes(name)))),
      ...(items ? visit(items, `${path}.items`, inMetadata) : []),
      ...(isRecord(additionalProperties) ? visit(additionalProperties as Schema, `${path}.additionalProperties`, inMetadata) : []),
    ];
  };
  return visit(root, field, false);
}

function valueErrors(schema: Schema, field: string, patterns: Patterns): FieldError[] {
  const path = `${field}.default`;
  // The same as none.
  if (schema.default === null) return [];
  const holder: Schema = { properties: { default: { ...schema, default: undefined } } };
  const value = { default: copyJson(schema.default) };
  const { value: clean, unknown } = cleanCustom(holder, value);
  if (unknown.length > 0 || !equal(clean, value)) return [invalid(path, schema.default, 'must not have unknown fields')];
  setSchemaDefaults(holder, value);
  return checkCustom(holder, value, undefined, patterns).map((error) => ({ ...error, field: `${field}.${error.field}`, message: error.message.replaceAll(/\bdefault(?=[^"]* in body)/g, path) }));
}
