import type { ScalarTag, Tags } from 'yaml';
import { StatusError } from '#common/errors.ts';
import { isRecord, type JsonRecord } from '#api/meta/json.ts';

/**
 * The objects of a YAML or JSON text as kustomize reads it: version 1.2 with octal numbers of 1.1 (`yes` is text,
 * `0644` a number), times written out. A key without a value is undefined, which a strategic merge patch drops; a
 * written `null` is null. Lists are opened. `source` names the text in errors.
 */
export async function readObjects(text: string, source: string): Promise<JsonRecord[]> {
  return (await readDocuments(text, source)).filter((value) => isRecord(value) && Object.keys(value).length > 0).flatMap((value) => open(checked(value)));
}

/** The documents of a text, whatever they are. */
export async function readDocuments(text: string, source: string): Promise<unknown[]> {
  const { parseAllDocuments } = await import('yaml');
  const documents = parseAllDocuments(text, { version: '1.2', merge: true, intAsBigInt: true, customTags: (tags: Tags): Tags => [...ownTags, ...tags] });
  if (!Array.isArray(documents)) return [];
  return documents.map((document) => {
    const [problem] = document.errors;
    if (problem) throw new StatusError('BadRequest', `MalformedYAMLError: yaml: ${problem.message.split('\n')[0]?.replace(/:$/, '') ?? ''} in File: ${source}`);
    return plain(document.toJS({ maxAliasCount: 100 }));
  });
}

const core = 'tag:yaml.org,2002:';
const emptyNull = Symbol('a key without a value');
const ownTags: readonly ScalarTag[] = [
  { tag: `${core}null`, default: true, test: /^$/, resolve: () => emptyNull },
  { tag: `${core}int`, default: true, test: /^[-+]?0b[01_]+$/, resolve: (word) => whole(word, /0b/, '0b') },
  { tag: `${core}int`, default: true, test: /^[-+]?0o?[0-7_]+$/, resolve: (word) => whole(word, /0o?/, '0o') },
  { tag: `${core}int`, default: true, test: /^[-+]?[1-9][0-9]*_[0-9_]*$/, resolve: (word) => whole(word, /^/, '') },
  { tag: `${core}float`, default: true, test: /^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)$|^[-+]?[0-9][0-9_]*\.[0-9_]*$/, resolve: (word) => Number(word.replaceAll('_', '')) },
  { tag: `${core}timestamp`, default: true, test: /^\d{4}-\d{1,2}-\d{1,2}(?:(?:[Tt]| +)\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})?)?$/, resolve: time },
];

function whole(word: string, from: RegExp, to: string): bigint {
  const digits = word.replaceAll('_', '').replace(/^[-+]/, '').replace(from, to);
  return word.startsWith('-') ? -BigInt(digits) : BigInt(digits);
}

/** As Go writes times into JSON. */
function time(word: string): string {
  const [, date = '', clock = '00:00:00', fraction = '', zone = 'Z'] = /^([\d-]+)(?:(?:[Tt]| +)([\d:]+)(\.\d+)?(Z|[+-]\d{2}:\d{2})?)?$/.exec(word) ?? [];
  const padded = (parts: string, by: string): string => parts.split(by).map((part) => part.padStart(2, '0')).join(by);
  return `${padded(date, '-')}T${padded(clock, ':')}${fraction.replace(/\.?0+$/, '')}${zone === '+00:00' ? 'Z' : zone}`;
}

/** Numbers that JavaScript can hold as such; what is beyond 64 bits is a float, as in Go. */
function plain(value: unknown): unknown {
  if (value === emptyNull) return undefined;
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) || value >= 1n << 64n || value < -(1n << 63n) ? Number(value) : value;
  if (Array.isArray(value)) return value.map(plain);
  if (!isRecord(value)) return value;
  for (const key of Object.keys(value)) {
    const item = plain(value[key]);
    if (item !== value[key]) value[key] = item;
  }
  return value;
}

function checked(value: unknown): JsonRecord {
  const object = value as JsonRecord;
  if (typeof object['kind'] !== 'string' || object['kind'] === '') throw new StatusError('BadRequest', `missing kind in object ${JSON.stringify(object, jsonNumber)}`);
  const metadata = object['metadata'];
  if (!object['kind'].endsWith('List') && (!isRecord(metadata) || metadata['name'] === undefined || metadata['name'] === '')) throw new StatusError('BadRequest', `missing metadata.name in object ${JSON.stringify(object, jsonNumber)}`);
  const hole = emptyItem(object, '');
  if (hole !== undefined) throw new StatusError('BadRequest', `empty item at ${hole} in object ${JSON.stringify(object, jsonNumber)}`);
  return object;
}

/** For JSON.stringify: numbers beyond JavaScript's as it can have them. */
export function jsonNumber(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value === undefined ? null : value;
}

function emptyItem(value: unknown, path: string): string | undefined {
  if (Array.isArray(value)) return value.some((item) => item === null || item === undefined) ? path : value.map((item, i) => emptyItem(item, `${path}[${String(i)}]`)).find((found) => found !== undefined);
  if (!isRecord(value)) return undefined;
  return Object.entries(value).map(([key, item]) => emptyItem(item, `${path}.${key}`)).find((found) => found !== undefined);
}

function open(object: JsonRecord): JsonRecord[] {
  if (!String(object['kind']).endsWith('List')) return [object];
  const { items } = object;
  if (items === undefined || items === null) return [];
  if (!Array.isArray(items)) throw new StatusError('BadRequest', `expected array in ${String(object['kind'])}/items, but found ${typeof items}`);
  return items.filter(isRecord).flatMap((item) => open(checked(item)));
}
