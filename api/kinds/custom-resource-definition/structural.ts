import type { CustomResourceDefinitionVersion } from '../../gen/types.ts';
import { memberSchema } from '../../custom/check.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, invalid, notSupported, required, tooMany, type FieldError } from '../../meta/field-error.ts';
import { isRecord, own } from '../../meta/json.ts';
import type { Schema } from '../../meta/schema.ts';
import { compileRegex } from '../../regex/regex.ts';
import { messageOf } from '#common/errors.ts';
import { defaultErrors } from './default-values.ts';
import { listTypeErrors } from './list-types.ts';
import { shapeErrors } from './shape.ts';

type Level = 'root' | 'item' | 'field';

const types = ['array', 'boolean', 'integer', 'number', 'object', 'string'];
/** Deeper and larger than any honest definition; keeps the work on one within bounds. */
const maxSchemas = 20_000;

/** The rules of a structural schema. What an older definition had already is not refused now. */
export function validateVersionSchema(version: CustomResourceDefinitionVersion, old: CustomResourceDefinitionVersion | undefined, field: string): FieldError[] {
  const schema = version.schema?.openAPIV3Schema;
  if (!isRecord(schema)) return [required(field, 'schemas are required')];
  if (old && equal(schema, old.schema?.openAPIV3Schema)) return [];
  const malformed = shapeErrors(schema, field);
  if (malformed.length > 0) return malformed;
  const root = schema as Schema;
  const walk = new StructuralWalk();
  const errors = walk.part(root, 'root', field);
  if (root.nullable === true) errors.push(forbidden(`${field}.nullable`, 'nullable cannot be true at the root'));
  return errors.length > 0 ? errors : defaultErrors(root, field);
}

/** What is said once, where a part of the object is described, and nowhere else. */
type Refused = 'type' | 'title' | 'description' | 'default' | 'additionalProperties' | 'nullable' | `x-kubernetes-${string}`;

class StructuralWalk {
  #seen = 0;

  /** A schema that describes a part of the object. */
  part(schema: Schema, level: Level, field: string): FieldError[] {
    if (++this.#seen > maxSchemas) return this.#seen === maxSchemas + 1 ? [tooMany(field, this.#seen, maxSchemas)] : [];
    const errors = [...keywordErrors(schema, field), ...typeErrors(schema, level, field), ...extensionErrors(schema, field), ...listTypeErrors(schema, field)];
    const { properties, items, additionalProperties } = schema;
    if (additionalProperties !== undefined) {
      if (level === 'root') errors.push(forbidden(`${field}.additionalProperties`, 'must not be used at the root'));
      if (properties !== undefined && Object.keys(properties).length > 0) errors.push(forbidden(`${field}.additionalProperties`, 'additionalProperties and properties are mutual exclusive'));
      if (schema['x-kubernetes-embedded-resource'] === true) errors.push(forbidden(`${field}.additionalProperties`, 'must not be used if x-kubernetes-embedded-resource is set'));
      if (isRecord(additionalProperties)) errors.push(...this.part(additionalProperties as Schema, 'field', `${field}.additionalProperties`));
    }
    for (const [name, property] of Object.entries(properties ?? {})) {
      const path = `${field}.properties[${name}]`;
      const isResource = level === 'root' || schema['x-kubernetes-embedded-resource'] === true;
      if (isResource && ['apiVersion', 'kind'].includes(name) && property.type !== 'string') errors.push(invalid(`${path}.type`, property.type ?? '', 'must be string'));
      if (isResource && name === 'metadata') errors.push(...metadataErrors(property, level, path));
      errors.push(...this.part(property, 'field', path));
    }
    if (Array.isArray(items)) errors.push(forbidden(`${field}.items`, 'items must be a schema object and not an array'));
    else if (items !== undefined) errors.push(...this.part(items, 'item', `${field}.items`));
    else if (schema.type === 'array') errors.push(required(`${field}.items`, 'must be specified'));
    return [...errors, ...this.#branches(schema, schema, field)];
  }

  /** What `allOf` and its like may say, given what `schema` itself says of the same value. */
  #branches(schema: Schema, outside: Schema, field: string): FieldError[] {
    const { allOf, anyOf, oneOf, not } = schema;
    const intOrString = outside['x-kubernetes-int-or-string'] === true;
    const list = (name: string, branches: readonly Schema[] | undefined, allowed: boolean): FieldError[] =>
      (branches ?? []).flatMap((branch, i) => this.#branch(branch, outside, `${field}.${name}[${i}]`, allowed));
    const [first, ...rest] = allOf ?? [];
    const typed = intOrString && isIntOrString(anyOf);
    return [
      ...(intOrString && first && !typed && isIntOrString(first.anyOf) ? [] : list('allOf', first && [first], false)),
      ...rest.flatMap((branch, i) => this.#branch(branch, outside, `${field}.allOf[${i + 1}]`, false)),
      ...list('anyOf', anyOf, typed), ...list('oneOf', oneOf, false),
      ...(not ? this.#branch(not, outside, `${field}.not`, false) : []),
    ];
  }

  #branch(branch: Schema, outside: Schema | undefined, field: string, typeAllowed: boolean): FieldError[] {
    if (++this.#seen > maxSchemas) return [];
    const errors = keywordErrors(branch, field);
    const refuse = (name: Refused, is: string): void => { if (branch[name] !== undefined && branch[name] !== false && branch[name] !== '') errors.push(forbidden(`${field}.${name}`, `must be ${is} to be structural`)); };
    if (!typeAllowed) refuse('type', 'empty');
    for (const name of ['title', 'description'] as const) refuse(name, 'empty');
    for (const name of ['default', 'additionalProperties'] as const) refuse(name, 'undefined');
    for (const name of ['nullable', 'x-kubernetes-preserve-unknown-fields', 'x-kubernetes-embedded-resource', 'x-kubernetes-int-or-string'] as const) refuse(name, 'false');
    for (const name of ['x-kubernetes-list-map-keys', 'x-kubernetes-list-type', 'x-kubernetes-map-type'] as const) refuse(name, 'undefined');
    for (const [name, property] of Object.entries(branch.properties ?? {})) {
      const path = `${field}.properties[${name}]`;
      const described = outside && memberSchema(outside, name);
      if (outside && !described && outside['x-kubernetes-preserve-unknown-fields'] !== true) errors.push(required(outsideOf(field, `properties[${name}]`), `because it is defined in ${path}`));
      errors.push(...this.#branch(property, described, path, false));
    }
    if (branch.items && !Array.isArray(branch.items)) {
      if (outside && !outside.items) errors.push(required(outsideOf(field, 'items'), `because it is defined in ${field}.items`));
      errors.push(...this.#branch(branch.items, outside?.items, `${field}.items`, false));
    }
    return [...errors, ...(outside ? this.#branches(branch, outside, field) : [])];
  }
}

/** Where a part of a branch must be described: the same path without the branches. */
function outsideOf(field: string, part: string): string {
  return `${field.replaceAll(/\.(?:allOf|anyOf|oneOf)\[\d+\]|\.not(?=\.|$)/g, '')}.${part}`;
}

function isIntOrString(branches: readonly Schema[] | undefined): boolean {
  return branches?.length === 2 && branches[0]?.type === 'integer' && branches[1]?.type === 'string';
}

const unsupported = ['id', 'additionalItems', 'patternProperties', 'definitions', 'dependencies', '$ref'] as const;

/** Keywords that no schema may use, or not so. */
function keywordErrors(schema: Schema, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of unsupported) if (own(schema as Record<string, unknown>, name) !== undefined) errors.push(forbidden(`${field}.${name}`, `${name} is not supported`));
  if (schema.type === 'null') errors.push(forbidden(`${field}.type`, 'type cannot be set to null, use nullable as an alternative'));
  else if (schema.type && !types.includes(schema.type)) errors.push(notSupported(`${field}.type`, schema.type, types));
  if (schema.uniqueItems === true) errors.push(forbidden(`${field}.uniqueItems`, 'uniqueItems cannot be set to true since the runtime complexity becomes quadratic'));
  if (schema.pattern !== undefined) {
    try {
      compileRegex(schema.pattern);
    } catch (error) {
      errors.push(invalid(`${field}.pattern`, schema.pattern, `must be a valid regular expression, but isn't: ${messageOf(error)}`));
    }
  }
  return errors;
}

const emptyWords: Readonly<Record<Level, string>> = { root: 'at the root', item: 'for specified array items', field: 'for specified object fields' };

function typeErrors(schema: Schema, level: Level, field: string): FieldError[] {
  const { type } = schema;
  const embedded = schema['x-kubernetes-embedded-resource'] === true;
  if (embedded && type !== 'object') {
    const why = 'must be object if x-kubernetes-embedded-resource is true';
    return [type ? invalid(`${field}.type`, type, why) : required(`${field}.type`, why)];
  }
  if (embedded && schema['x-kubernetes-preserve-unknown-fields'] !== true && Object.keys(schema.properties ?? {}).length === 0) {
    return [required(`${field}.properties`, 'must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields')];
  }
  if (!type) return schema['x-kubernetes-int-or-string'] === true || schema['x-kubernetes-preserve-unknown-fields'] === true ? [] : [required(`${field}.type`, `must not be empty ${emptyWords[level]}`)];
  return level === 'root' && type !== 'object' ? [invalid(`${field}.type`, type, 'must be object at the root')] : [];
}

function extensionErrors(schema: Schema, field: string): FieldError[] {
  const errors: FieldError[] = [];
  const preserve = schema['x-kubernetes-preserve-unknown-fields'];
  if (preserve === false) errors.push(invalid(`${field}.x-kubernetes-preserve-unknown-fields`, false, 'must be true or undefined'));
  if (schema['x-kubernetes-int-or-string'] === true) {
    if (preserve === true) errors.push(invalid(`${field}.x-kubernetes-preserve-unknown-fields`, true, 'must be false if x-kubernetes-int-or-string is true'));
    if (schema['x-kubernetes-embedded-resource'] === true) errors.push(invalid(`${field}.x-kubernetes-embedded-resource`, true, 'must be false if x-kubernetes-int-or-string is true'));
    if (schema.type) errors.push(forbidden(`${field}.type`, 'must be empty if x-kubernetes-int-or-string is true'));
  }
  return errors;
}

/** The API itself says what metadata is; a schema may narrow the names. */
function metadataErrors(schema: Schema, level: Level, field: string): FieldError[] {
  if (schema.type !== 'object') return [invalid(`${field}.type`, schema.type ?? '', 'must be object')];
  const { type: _, description: __, properties = {}, ...rest } = schema;
  const others = Object.keys(properties).some((name) => name !== 'name' && name !== 'generateName');
  return level === 'root' && (others || Object.keys(rest).length > 0) ? [forbidden(field, 'must not specify anything other than name and generateName, but metadata is implicitly specified')] : [];
}
