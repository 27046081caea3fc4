import { isRecord, own, setOwn, type JsonRecord } from '#api/meta/json.ts';
import { resolve, type Schema } from '#api/meta/schema.ts';
import { refuse } from './refuse.ts';
import { textOf } from './resource.ts';

/**
 * Kustomize's strategic merge. By the same schemas as the server's, but other rules: what a patch adds to a list comes
 * first, then what was there; `$retainKeys` and its like are unknown; lists of custom resources are replaced.
 * `patch` is used up. Undefined when the patch deletes the object.
 */
export function strategicMerge(schema: Schema, object: JsonRecord, patch: JsonRecord): JsonRecord | undefined {
  const merged = walk(schema, object, patch);
  return isRecord(merged) ? merged : undefined;
}

/** A field that is not there; one that has no value is undefined, one that is `null` null. */
const missing = Symbol('missing');
/** What stays null though the merge removes nulls: it was written so, and the patch does not speak of it. */
const keptNull = Symbol('null');
const none: Schema = {};

type Kind = 'map' | 'list' | 'scalar' | 'nothing';

function isNothing(value: unknown): boolean {
  return value === missing || value === null || value === undefined;
}

function kindOf(value: unknown): Kind {
  return isNothing(value) ? 'nothing' : Array.isArray(value) ? 'list' : isRecord(value) ? 'map' : 'scalar';
}

function walk(schema: Schema, dest: unknown, patch: unknown): unknown {
  const kinds = [kindOf(dest), kindOf(patch)] as const;
  const kind = kinds[0] === 'nothing' ? kinds[1] : kinds[0];
  if (kinds[1] !== 'nothing' && kinds[1] !== kind) throw refuse(`wrong node kind: expected ${kind} but got ${kinds[1]}: the patch has ${JSON.stringify(patch)} where the object has ${JSON.stringify(dest)}`);
  if (kind === 'list') return (schema['x-kubernetes-patch-strategy'] ?? '').split(',').includes('merge') ? mergeList(schema, dest, patch) : patch === missing ? dest : patch;
  if (kind === 'scalar') return patch === missing ? dest : patch;
  return mergeMap(schema, dest, patch);
}

function mergeMap(schema: Schema, dest: unknown, patch: unknown): unknown {
  const directive = isRecord(patch) ? takeDirective(patch) : undefined;
  if (directive === 'delete') return missing;
  if (isNothing(dest)) {
    if (patch === missing) return dest === null ? keptNull : missing;
    return isRecord(patch) ? mergeFields(schema, patch, patch) : missing;
  }
  if (patch !== missing && isNothing(patch)) return missing;
  return directive === 'replace' ? mergeFields(schema, patch as JsonRecord, patch) : mergeFields(schema, dest as JsonRecord, patch);
}

function mergeFields(schema: Schema, dest: JsonRecord, patch: unknown): JsonRecord {
  const fields = isRecord(patch) ? patch : {};
  for (const key of new Set([...Object.keys(dest), ...Object.keys(fields)])) {
    const value = walk(fieldSchema(schema, key), Object.hasOwn(dest, key) ? own(dest, key) : missing, Object.hasOwn(fields, key) ? own(fields, key) : missing);
    if (value === keptNull) setOwn(dest, key, null);
    else if (isNothing(value)) delete dest[key];
    else setOwn(dest, key, value);
  }
  return dest;
}

function fieldSchema(schema: Schema, key: string): Schema {
  const { properties, additionalProperties } = resolve(schema);
  if (properties !== undefined && Object.hasOwn(properties, key)) return properties[key] ?? none;
  return typeof additionalProperties === 'object' ? additionalProperties : none;
}

/** Removes `$patch` from a map and gives what it said. */
function takeDirective(patch: JsonRecord): 'merge' | 'replace' | 'delete' {
  const directive = own(patch, '$patch');
  delete patch['$patch'];
  if (directive === undefined || directive === 'merge') return 'merge';
  if (directive === 'replace' || directive === 'delete') return directive;
  throw refuse(`unknown patch strategy '${textOf(directive)}'`);
}

function mergeList(schema: Schema, dest: unknown, patch: unknown): unknown {
  if (isNothing(dest) && isNothing(patch)) return missing;
  if (patch !== missing && isNothing(patch)) return missing;
  if (isNothing(dest)) return mergeItems(schema, patch as unknown[], patch as unknown[]);
  const items = patch === missing ? [] : patch as unknown[];
  const first = items.findIndex((item) => isRecord(item) && Object.hasOwn(item, '$patch'));
  const only = items[first];
  // Beside other fields it is about its item; alone, about the list.
  const directive = isRecord(only) && Object.keys(only).length === 1 ? takeDirective(only) : 'merge';
  if (isRecord(only) && Object.keys(only).length === 0) items.splice(first, 1);
  if (directive === 'delete') return missing;
  return directive === 'replace' ? mergeItems(schema, items, items) : mergeItems(schema, dest as unknown[], items);
}

function mergeItems(schema: Schema, dest: unknown[], patch: unknown[]): unknown {
  const keys = schema['x-kubernetes-list-map-keys'] ?? (schema['x-kubernetes-patch-merge-key'] === undefined ? [] : [schema['x-kubernetes-patch-merge-key']]);
  if (keys.length === 0) return [...new Map([...patch, ...dest].map((item) => [textOf(item), item])).values()];
  return new KeyedList(resolve(schema).items ?? none, keys).merge(dest, patch);
}

/** The values of an item under the keys of its list; empty where it lacks one. */
type Key = readonly string[];

class KeyedList {
  readonly #item: Schema;
  readonly #keys: readonly string[];

  constructor(item: Schema, keys: readonly string[]) {
    this.#item = item;
    this.#keys = keys;
  }

  merge(dest: unknown[], patch: unknown[]): unknown {
    const wanted = this.#distinct([...patch, ...dest]);
    const used = this.#keys.filter((_, i) => wanted.some((key) => key[i] !== ''));
    const keys = used.length === 0 ? this.#keys : used;
    const result: unknown[] = [];
    for (const key of wanted) {
      const values = used.length === 0 ? key : key.filter((value, i) => value !== '' || used.includes(this.#keys[i] ?? ''));
      const [old, now] = [dest, patch].map((list) => this.#find(list, key));
      const item = walk(this.#item, old, now);
      if (!isRecord(item) || Object.keys(item).length === 0) put(dest, keys, values, undefined);
      else put(result, keys, values, item);
    }
    if (wanted.length > 0) for (const item of dest) addBack(result, keys, item);
    return wanted.length === 0 ? dest : result;
  }

  #distinct(items: readonly unknown[]): Key[] {
    const all = new Map(items.map((item): [string, string[]] => {
      const key = this.#keys.map((name) => (isRecord(item) ? textOf(own(item, name)) : ''));
      return [key.join('\0'), key];
    }));
    const keys = [...all.values()];
    if (this.#keys.length < 2) return keys;
    // A port without a protocol is the one of the same number with one.
    for (const [i] of keys.entries()) {
      for (const [j] of keys.entries()) {
        const joined = join(keys[i] ?? [], keys[j] ?? []);
        if (joined) { keys[i] = joined; keys[j] = joined; }
      }
    }
    return keys;
  }

  #find(list: readonly unknown[], key: Key): unknown {
    const given = this.#keys.flatMap((name, i) => (key[i] === '' ? [] : [[name, key[i]] as const]));
    const found = list.find((item) => isRecord(item) && given.length > 0 && given.every(([name, value]) => Object.hasOwn(item, name) && textOf(item[name]) === value));
    return found ?? missing;
  }
}

function join(a: Key, b: Key): string[] | undefined {
  if (!a.some((value, i) => value === b[i])) return undefined;
  return a.every((value, i) => value === b[i] || value === '' || b[i] === '') ? a.map((value, i) => (value === '' ? b[i] ?? '' : value)) : undefined;
}

/** Sets, or without an item removes, the items that have these values; an item that none gives way to goes last. */
function put(list: unknown[], keys: readonly string[], values: readonly string[], item: JsonRecord | undefined): void {
  const matches = (other: unknown): boolean => isRecord(other) && keys.every((name, i) => {
    const value = values[Math.min(i, values.length - 1)] ?? '';
    return i >= values.length || (Object.hasOwn(other, name) && (value === '' || textOf(other[name]) === value));
  });
  let placed = false;
  const next = list.flatMap((other) => {
    if (!matches(other)) return [other];
    placed = item !== undefined;
    return item === undefined ? [] : [item];
  });
  list.splice(0, list.length, ...next, ...(placed || item === undefined ? [] : [item]));
}

/** Puts an item of the object where the merged list has it, else at the end. */
function addBack(list: unknown[], keys: readonly string[], item: unknown): void {
  if (!isRecord(item)) return;
  const present = keys.filter((name) => Object.hasOwn(item, name));
  for (let lacking = keys.length - present.length; lacking > 0; lacking--) list.push(item);
  const values = present.map((name) => textOf(item[name]));
  if (keys.length > 1) put(list, keys, values, undefined);
  put(list, keys, values, item);
}
