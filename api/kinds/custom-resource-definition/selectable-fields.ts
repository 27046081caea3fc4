import type { CustomResourceDefinitionVersion } from '../../gen/types.ts';
import { duplicate, invalid, required, tooMany, type FieldError } from '../../meta/field-error.ts';
import { isRecord } from '../../meta/json.ts';
import type { Schema } from '../../meta/schema.ts';

const maxFields = 8;
const simple = /^(?:\.[A-Za-z_][\w-]*)+$/;

/** Fields of a version that lists and watches may select by: plain paths to scalars of the schema. */
export function validateSelectableFields({ selectableFields = [], schema }: CustomResourceDefinitionVersion, field: string): FieldError[] {
  if (selectableFields.length > maxFields) return [tooMany(field, selectableFields.length, maxFields)];
  const seen = new Set<string>();
  return selectableFields.flatMap(({ jsonPath }, i) => {
    const path = `${field}[${i}].jsonPath`;
    if (!jsonPath) return [required(path)];
    if (!simple.test(jsonPath)) return [invalid(path, jsonPath, 'is an invalid path: must be a simple JSON path such as .spec.color')];
    if (seen.has(jsonPath)) return [duplicate(path, jsonPath)];
    seen.add(jsonPath);
    if (jsonPath.startsWith('.metadata.') || jsonPath === '.metadata') return [invalid(path, jsonPath, 'must not point to fields in metadata')];
    const found = jsonPath.slice(1).split('.').reduce<Schema | undefined>((here, name) => (isRecord(here?.properties) ? here.properties[name] : undefined), schema?.openAPIV3Schema as Schema | undefined);
    if (!found) return [invalid(path, jsonPath, 'is an invalid path: does not refer to a valid field')];
    return ['string', 'boolean', 'integer'].includes(found.type ?? '') ? [] : [invalid(path, jsonPath, 'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.')];
  });
}
