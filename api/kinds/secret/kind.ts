import type { Secret } from '../../gen/types.ts';
import { ageColumn, column, nameColumn } from '../../meta/columns.ts';
import { equal } from '../../meta/equal.ts';
import { forbidden, invalid, required, tooLong, type FieldError } from '../../meta/field-error.ts';
import { isRecord, setOwn } from '../../meta/json.ts';
import { configMapKey } from '../../meta/names.ts';
import { schemaNamed } from '../../meta/schema.ts';
import { secrets } from '../resources.ts';
import type { KindDefinition } from '../types.ts';

const maxBytes = 1024 * 1024;
const immutableText = 'field is immutable when `immutable` is set';

function setDefaults(object: Secret): void {
  object.type ||= 'Opaque';
  if (object.stringData === undefined) return;
  // Plain text is a convenience of writing; what is kept is base64.
  const data = (object.data ??= {});
  for (const [key, value] of Object.entries(object.stringData)) setOwn(data, key, Buffer.from(value).toString('base64'));
  delete object.stringData;
}

/** Keys that a type promises to its readers. */
const neededKeys: ReadonlyMap<string, readonly string[]> = new Map([
  ['kubernetes.io/dockercfg', ['.dockercfg']],
  ['kubernetes.io/dockerconfigjson', ['.dockerconfigjson']],
  ['kubernetes.io/ssh-auth', ['ssh-privatekey']],
  ['kubernetes.io/tls', ['tls.crt', 'tls.key']],
]);

function isJsonObject(base64: string): boolean {
  try {
    return isRecord(JSON.parse(Buffer.from(base64, 'base64').toString()));
  } catch {
    return false;
  }
}

function validateType({ type = '', data = {}, metadata }: Secret): FieldError[] {
  if (type === 'kubernetes.io/service-account-token' && !metadata?.annotations?.['kubernetes.io/service-account.name']) {
    return [required('metadata.annotations[kubernetes.io/service-account.name]')];
  }
  if (type === 'kubernetes.io/basic-auth' && !Object.hasOwn(data, 'username') && !Object.hasOwn(data, 'password')) {
    return [required('data[username]'), required('data[password]')];
  }
  return (neededKeys.get(type) ?? []).flatMap((key) => {
    if (!Object.hasOwn(data, key)) return [required(`data[${key}]`)];
    return key.startsWith('.docker') && !isJsonObject(data[key] ?? '') ? [invalid(`data[${key}]`, '<secret contents redacted>', 'must be a JSON object')] : [];
  });
}

function validate(object: Secret, old?: Secret): FieldError[] {
  const errors: FieldError[] = [];
  let size = 0;
  for (const [key, value] of Object.entries(object.data ?? {})) {
    const problem = configMapKey(key);
    if (problem !== undefined) errors.push(invalid(`data[${key}]`, key, problem));
    size += Buffer.byteLength(value, 'base64');
  }
  if (size > maxBytes) errors.push(tooLong('data', maxBytes));
  errors.push(...validateType(object));
  if (old !== undefined && object.type !== old.type) errors.push(invalid('type', object.type, 'field is immutable'));
  if (old?.immutable === true) {
    if (object.immutable !== true) errors.push(forbidden('immutable', immutableText));
    if (!equal(object.data ?? {}, old.data ?? {})) errors.push(forbidden('data', immutableText));
  }
  return errors;
}

export const secret: KindDefinition<Secret> = {
  resource: secrets,
  singular: 'secret',
  shortNames: [],
  categories: [],
  schema: () => schemaNamed('Secret'),
  storage: 'durable',
  status: false,
  nameRule: 'dns-subdomain',
  setDefaults,
  prepareForUpdate: (object, old) => {
    if (!object.type && old.type) object.type = old.type;
  },
  validate,
  selectableFields: { type: ({ type }) => type ?? '' },
  columns: [
    nameColumn(),
    column('Type', 'What the data is for', ({ type }) => type ?? ''),
    column('Data', 'How many keys there are', ({ data }) => Object.keys(data ?? {}).length, 'integer'),
    ageColumn(),
  ],
};
