import { StatusError } from '#common/errors.ts';
import { isRecord, own, setOwn, type JsonRecord } from './json.ts';
import { refuseDeep } from './merge-patch.ts';
import { enforceOrder, mergeLists, requireOrder, type MergeItem } from './merge-list.ts';
import { resolve, type Schema } from './schema.ts';

/**
 * Kubernetes' strategic merge patch. Returns a new value, which may share unchanged parts with its arguments.
 * A malformed patch is BadRequest.
 *
 * Directives: `$patch: replace|delete|merge` in a map or in an item of a list; `$retainKeys` in a map;
 * `$deleteFromPrimitiveList/<field>` and `$setElementOrder/<field>` beside a list.
 * Source: kubernetes/community, devel/sig-api-machinery/strategic-merge-patch.md.
 */
export function strategicMergePatch(schema: Schema, document: unknown, patch: unknown): unknown {
  refuseDeep(document, patch);
  if (!isRecord(patch)) throw bad('a strategic merge patch must be an object');
  return mergeMap(schema, isRecord(document) ? document : {}, patch);
}

const deleteFromList = '$deleteFromPrimitiveList/';
const setElementOrder = '$setElementOrder/';
const none: Schema = {};

function bad(message: string): StatusError {
  return new StatusError('BadRequest', `cannot apply the strategic merge patch: ${message}`);
}

function propertySchema(schema: Schema, key: string): Schema {
  const { properties, additionalProperties } = resolve(schema);
  if (properties !== undefined && Object.hasOwn(properties, key)) return properties[key] ?? none;
  return typeof additionalProperties === 'object' ? additionalProperties : none;
}

/** The strategies that stand in a field's schema, beside a `$ref` included. */
function strategies(schema: Schema): readonly string[] {
  return (schema['x-kubernetes-patch-strategy'] ?? '').split(',');
}

function mergeMap(schema: Schema, original: JsonRecord, patch: JsonRecord): JsonRecord {
  switch (own(patch, '$patch')) {
    case undefined: case 'merge': break;
    case 'replace': return asRecord(dropDirectives({ ...patch, $patch: undefined }));
    case 'delete': return {};
    default: throw bad(`unknown $patch ${JSON.stringify(patch['$patch'])}: it must be merge, replace or delete`);
  }
  const result = retainKeys(original, patch);
  const { lists, deletions, orders, fields } = sortDirectives(patch);
  for (const key of fields) {
    const value = patch[key];
    if (value === null) delete result[key];
    else if (!lists.has(key)) setOwn(result, key, mergeValue(propertySchema(schema, key), own(result, key), value));
  }
  for (const key of lists) {
    if (Object.hasOwn(patch, key) && patch[key] === null) continue;
    const list = patchList(propertySchema(schema, key), own(result, key), own(patch, key), orders.get(key), deletions.get(key), key);
    if (list !== undefined) setOwn(result, key, list);
  }
  return result;
}

interface Directives {
  /** Fields that a directive stands beside. */
  readonly lists: ReadonlySet<string>;
  readonly deletions: ReadonlyMap<string, readonly unknown[]>;
  readonly orders: ReadonlyMap<string, readonly unknown[]>;
  readonly fields: readonly string[];
}

function sortDirectives(patch: JsonRecord): Directives {
  const deletions = new Map<string, readonly unknown[]>();
  const orders = new Map<string, readonly unknown[]>();
  const fields: string[] = [];
  for (const [key, value] of Object.entries(patch)) {
    const target = key.startsWith(deleteFromList) ? deletions : key.startsWith(setElementOrder) ? orders : undefined;
    if (target === undefined) {
      if (key !== '$patch' && key !== '$retainKeys') fields.push(key);
      continue;
    }
    if (!Array.isArray(value)) throw bad(`${key} must be a list`);
    target.set(key.slice(key.indexOf('/') + 1), value);
  }
  return { deletions, orders, fields, lists: new Set([...deletions.keys(), ...orders.keys()]) };
}

function retainKeys(original: JsonRecord, patch: JsonRecord): JsonRecord {
  const retained = own(patch, '$retainKeys');
  const result: JsonRecord = {};
  if (retained === undefined) {
    for (const key of Object.keys(original)) setOwn(result, key, original[key]);
    return result;
  }
  if (!Array.isArray(retained)) throw bad('$retainKeys must be a list of field names');
  const kept = new Set<unknown>(retained);
  for (const key of Object.keys(patch)) {
    if (!key.startsWith('$') && patch[key] !== null && !kept.has(key)) throw bad(`$retainKeys lacks ${JSON.stringify(key)}, which the patch sets`);
  }
  for (const key of Object.keys(original)) if (kept.has(key)) setOwn(result, key, original[key]);
  return result;
}

function mergeValue(schema: Schema, original: unknown, value: unknown): unknown {
  if (isRecord(value) && isRecord(original)) return strategies(schema).includes('replace') ? dropDirectives(value) : mergeMap(schema, original, value);
  if (Array.isArray(value) && Array.isArray(original)) return mergeListValue(schema, original, value);
  if (isRecord(value) && original === undefined) return mergeMap(schema, {}, value);
  if (Array.isArray(value) && strategies(schema).includes('merge')) return mergeListValue(schema, [], value);
  return dropDirectives(value);
}

function mergeItemOf(schema: Schema): MergeItem {
  const items = resolve(schema).items ?? none;
  return (original, patch) => mergeMap(items, original, patch);
}

function mergeListValue(schema: Schema, original: readonly unknown[], patch: readonly unknown[]): unknown[] {
  if (!strategies(schema).includes('merge')) return patch.map(dropDirectives);
  return mergeLists(original, patch, schema['x-kubernetes-patch-merge-key'], mergeItemOf(schema));
}

/** A list with directives beside it: first the values, then the deletions, then the order. */
function patchList(
  schema: Schema, original: unknown, value: unknown, order: readonly unknown[] | undefined, deletions: readonly unknown[] | undefined, field: string,
): unknown[] | undefined {
  const mergeKey = schema['x-kubernetes-patch-merge-key'];
  if (!strategies(schema).includes('merge')) {
    throw bad(`${field} is replaced as a whole, so ${order === undefined ? deleteFromList : setElementOrder}${field} means nothing`);
  }
  if (original !== undefined && !Array.isArray(original)) throw bad(`${field} is not a list`);
  if (value !== undefined && !Array.isArray(value)) throw bad(`${field} must be a list`);
  if (original === undefined && value === undefined) return undefined;
  if (order !== undefined && value !== undefined) requireOrder(value, order, mergeKey, field);
  const merged = value === undefined ? [...original ?? []] : mergeLists(original ?? [], value, mergeKey, mergeItemOf(schema));
  const unwanted = new Set(deletions);
  const kept = merged.filter((item) => !unwanted.has(item));
  return order === undefined ? kept : enforceOrder(kept, order, original ?? [], mergeKey);
}

function asRecord(value: unknown): JsonRecord {
  return isRecord(value) ? value : {};
}

/** What a patch means where nothing is to merge with: null and directives go, deleted items too. */
function dropDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => !(isRecord(item) && Object.hasOwn(item, '$patch') && item['$patch'] !== 'merge')).map(dropDirectives);
  if (!isRecord(value)) return value;
  const result: JsonRecord = {};
  if (own(value, '$patch') === 'delete') return result;
  for (const key of Object.keys(value)) {
    const directive = key === '$patch' || key === '$retainKeys' || key.startsWith(deleteFromList) || key.startsWith(setElementOrder);
    if (!directive && value[key] !== null) setOwn(result, key, dropDirectives(value[key]));
  }
  return result;
}
