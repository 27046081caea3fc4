import type { ConfigMap } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, invalid, tooLong, type FieldError } from '../../meta/field-error.ts';
import { configMapKey } from '../../meta/names.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { configMaps } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

const maxBytes = 1024 * 1024;
const immutableText = 'field is immutable when `immutable` is set';

function validate(object: ConfigMap, old?: ConfigMap): FieldError[] {
  const errors: FieldError[] = [];
  const { data = {}, binaryData = {} } = object;
  let size = 0;
  for (const [key, value] of Object.entries(data)) {
    const problem = configMapKey(key);
    if (problem !== undefined) errors.push(invalid(`data[${key}]`, key, problem));
    if (Object.hasOwn(binaryData, key)) errors.push(invalid(`data[${key}]`, key, 'duplicate of key present in binaryData'));
    size += Buffer.byteLength(value);
  }
  for (const [key, value] of Object.entries(binaryData)) {
    const problem = configMapKey(key);
    if (problem !== undefined) errors.push(invalid(`binaryData[${key}]`, key, problem));
    size += Buffer.byteLength(value, 'base64');
  }
  if (size > maxBytes) errors.push(tooLong('[]', maxBytes));
  if (old?.immutable === true) {
    if (object.immutable !== true) errors.push(forbidden('immutable', immutableText));
    if (!equal(data, old.data ?? {})) errors.push(forbidden('data', immutableText));
    if (!equal(binaryData, old.binaryData ?? {})) errors.push(forbidden('binaryData', immutableText));
  }
  return errors;
}

export const configMap: KindDefinition<ConfigMap> = {
  resource: configMaps,
  singular: 'configmap',
  shortNames: ['cm'],
  categories: [],
  schema: () => schemaNamed('ConfigMap'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  validate,
  selectableFields: {},
  columns: [
    nameColumn(),
    column('Data', 'How many keys there are', ({ data, binaryData }) => Object.keys(data ?? {}).length + Object.keys(binaryData ?? {}).length, 'integer'),
    ageColumn(),
  ],
};
