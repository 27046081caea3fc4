import { isMap, isScalar, parse, parseAllDocuments, type Document, type ScalarTag, type Tags } from 'yaml';
import { StatusError } from '#common/errors.ts';
import { deeperThan, isRecord, maxDepth, type JsonRecord } from '#api/meta/json.ts';
import { isDate } from './yaml-words.ts';

/**
 * The objects of a YAML or JSON text as kustomize reads it: version 1.2 with octal numbers of 1.1 (`yes` is text,
 * `0644` a number), times written out. A key without a value is undefined, which a strategic merge patch drops; a
 * written `null` is null. Lists are opened. `source` names the text in errors.
 */
export function readObjects(text: string, source: string): JsonRecord[] {
  return readDocuments(text, source).filter((value) => value !== null && value !== undefined && !(isRecord(value) && Object.keys(value).length === 0)).flatMap((value) => open(checked(value)));
}

/** The documents of a text, whatever they are. */
export function readDocuments(text: string, source: string): unknown[] {
  const documents = parseAllDocuments(text, reading);
  if (!Array.isArray(documents)) return [];
  return documents.map((document) => {
    const [problem] = document.errors;
    if (problem) throw new StatusError('BadRequest', `MalformedYAMLError: yaml: ${problem.message.split('\n')[0]?.replace(/:$/, '') ?? ''} in File: ${source}`);
    keepWords(document);
    return plain(document.toJS({ maxAliasCount: 100 }));
  });
}

/** Annotations are text: `1.50` is not 1.5. */
function keepWords(document: Document.Parsed): void {
  const annotations = isMap(document.contents) ? document.getIn(['metadata', 'annotations']) : undefined;
  if (!isMap(annotations)) return;
  for (const { value } of annotations.items) if (isScalar(value) && value.type === 'PLAIN' && value.source !== undefined) value.value = value.source;
}

/** What a word without quotes is: a number, a truth, nothing, or text. */
export function readWord(text: string): unknown {
  return /^[-+.\w~]+$/.test(text) ? plain(parse(text, reading)) ?? null : text;
}

const core = 'tag:yaml.org,2002:';
const emptyNull = Symbol('a key without a value');
const ownTags: readonly ScalarTag[] = [
  { tag: `${core}null`, default: true, test: /^$/, resolve: () => emptyNull },
  { tag: `${core}int`, default: true, test: /^[-+]?0b[01_]+$/, resolve: (word) => whole(word, /0b/, '0b') },
  { tag: `${core}int`, default: true, test: /^[-+]?0o?[0-7_]+$/, resolve: (word) => whole(word, /0o?/, '0o') },
  { tag: `${core}int`, default: true, test: /^[-+]0x[0-9a-fA-F]+$/, resolve: (word) => whole(word, /^/, '') },
  { tag: `${core}int`, default: true, test: /^[-+]?[1-9][0-9]*_[0-9_]*$/, resolve: (word) => whole(word, /^/, '') },
  { tag: `${core}float`, default: true, test: /^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)$|^[-+]?[0-9][0-9_]*\.[0-9_]*$/, resolve: (word) => Number(word.replaceAll('_', '')) },
  { tag: `${core}timestamp`, default: true, test: /^\d{4}-\d{1,2}-\d{1,2}$/, resolve: day },
];

const reading = { version: '1.2', merge: true, intAsBigInt: true, customTags: (tags: Tags): Tags => [...ownTags, ...tags] } as const;

function whole(word: string, from: RegExp, to: string): bigint {
  const digits = word.replaceAll('_', '').replace(/^[-+]/, '').replace(from, to);
  return word.startsWith('-') ? -BigInt(digits) : BigInt(digits);
}

/** As Go writes days into JSON; times of day stay the text that they are. */
function day(word: string): string {
  return isDate(word) ? `${word.split('-').map((part) => part.padStart(2, '0')).join('-')}T00:00:00Z` : word;
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

function checked(object: unknown): JsonRecord {
  if (!isRecord(object)) throw new StatusError('BadRequest', 'missing Resource metadata');
  if (typeof object['kind'] !== 'string' || object['kind'] === '') throw new StatusError('BadRequest', `missing kind in object ${JSON.stringify(object, jsonNumber)}`);
  if (deeperThan(object, maxDepth)) throw new StatusError('BadRequest', `an object of kind ${object['kind']} nests deeper than ${String(maxDepth)} levels`);
  const metadata = object['metadata'];
  if (!object['kind'].endsWith('List') && (!isRecord(metadata) || metadata['name'] === undefined || metadata['name'] === '')) throw new StatusError('BadRequest', `missing metadata.name in object ${JSON.stringify(object, jsonNumber)}`);
  return object;
}

/** For JSON.stringify: numbers beyond JavaScript's as it can have them. */
export function jsonNumber(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? Number(value) : value === undefined ? null : value;
}

function open(object: JsonRecord): JsonRecord[] {
  if (!String(object['kind']).endsWith('List')) return [object];
  const { items } = object;
  if (items === undefined || items === null) return [];
  if (!Array.isArray(items)) throw new StatusError('BadRequest', `expected array in ${String(object['kind'])}/items, but found ${typeof items}`);
  return items.filter(isRecord).flatMap((item) => open(checked(item)));
}
