import { forbidden, typeInvalid, type FieldError } from '../../meta/field-error.ts';
import { isRecord, type JsonRecord } from '../../meta/json.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { checkStructure } from '../../meta/validate.ts';

const maps = ['properties', 'patternProperties', 'definitions'] as const;
const lists = ['allOf', 'anyOf', 'oneOf'] as const;

/**
 * What is no schema at all within `schema`. The contract leaves `items` and `additionalProperties` open, because both
 * have two forms, and with them all that is below.
 */
export function shapeErrors(schema: JsonRecord, field: string): FieldError[] {
  const errors: FieldError[] = [];
  for (const name of ['items', 'additionalProperties'] as const) {
    const value = schema[name];
    const path = `${field}.${name}`;
    if (value === undefined || value === null || (name === 'additionalProperties' && typeof value === 'boolean')) continue;
    if (Array.isArray(value)) errors.push(forbidden(path, `${name} must be a schema object and not an array`));
    else if (!isRecord(value)) errors.push(typeInvalid(path, value, 'must be of type object'));
    else errors.push(...checked(value, path));
  }
  for (const name of maps) for (const [key, value] of Object.entries(schema[name] ?? {})) if (isRecord(value)) errors.push(...shapeErrors(value, `${field}.${name}[${key}]`));
  for (const name of lists) for (const [i, value] of Object.entries(schema[name] ?? {})) if (isRecord(value)) errors.push(...shapeErrors(value, `${field}.${name}[${i}]`));
  if (isRecord(schema['not'])) errors.push(...shapeErrors(schema['not'], `${field}.not`));
  return errors;
}

function checked(schema: JsonRecord, field: string): FieldError[] {
  const { errors } = checkStructure(schemaNamed('JSONSchemaProps'), schema);
  return errors.length > 0 ? errors.map((error) => ({ ...error, field: error.field === '' ? field : `${field}.${error.field}` })) : shapeErrors(schema, field);
}
