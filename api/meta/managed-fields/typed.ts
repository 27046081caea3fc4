import { equal } from '../equal.ts';
import { own, setOwn, type JsonRecord } from '../json.ts';
import type { Schema } from '../schema.ts';
import { emptySet, isEmptySet, leaf, SetBuilder, setOf, type FieldSet } from './field-set.ts';
import { shapeOf, type MapShape, type Shape } from './shape.ts';

/** Pure operations on values and sets of their fields. Nothing given is changed; results may share parts with it. */

type ListShape = Extract<Shape, { kind: 'list' }>;

/** Every field of a value: leaves, keys of free maps, items of lists. `all`: everything on the way to them as well. */
export function fieldsOf(schema: Schema, value: unknown, path = '', all = false): FieldSet {
  const shape = shapeOf(schema, value);
  if (shape.kind === 'whole') return leaf;
  const set = new SetBuilder();
  if (shape.kind === 'list') {
    for (const [i, item] of shape.value.entries()) set.add(shape.element(item, path, i), asMember(fieldsOf(shape.items, item, `${path}[${String(i)}]`, all)));
    return set.build(all);
  }
  for (const key of Object.keys(shape.value)) {
    const child = own(shape.value, key);
    const fields = fieldsOf(shape.schemaOf(key), child, `${path}.${key}`, all);
    const isEmpty = typeof child === 'object' && child !== null && !Array.isArray(child) && Object.keys(child).length === 0;
    set.add(`f:${key}`, !shape.named(key) || isEmpty ? asMember(fields) : fields);
  }
  return set.build(all);
}

function asMember(set: FieldSet): FieldSet {
  if (set.member) return set;
  return set.children.size === 0 ? leaf : { member: true, children: set.children };
}

export interface Comparison { readonly added: FieldSet; readonly modified: FieldSet; readonly removed: FieldSet }

export const unchanged: Comparison = { added: emptySet, modified: emptySet, removed: emptySet };

/** Which fields tell `before` from `after`; undefined is absent. */
export function compare(schema: Schema, before: unknown, after: unknown): Comparison {
  if (before === after) return unchanged;
  if (before === undefined) return { ...unchanged, added: wholeTree(schema, after) };
  if (after === undefined) return { ...unchanged, removed: wholeTree(schema, before) };
  const [a, b] = [shapeOf(schema, before), shapeOf(schema, after)];
  if (a.kind === 'map' && b.kind === 'map') {
    const parts = new Parts();
    for (const key of Object.keys(a.value)) parts.add(`f:${key}`, compare(b.schemaOf(key), own(a.value, key), own(b.value, key)));
    for (const key of Object.keys(b.value)) if (!Object.hasOwn(a.value, key)) parts.add(`f:${key}`, compare(b.schemaOf(key), undefined, own(b.value, key)));
    return parts.join();
  }
  if (a.kind === 'list' && b.kind === 'list') {
    // Most lists stay as they are; to look is cheaper than to name their items.
    if (equal(before, after)) return unchanged;
    const [left, right] = [byElement(a), byElement(b)];
    const parts = new Parts();
    for (const [element, item] of left) parts.add(element, compare(b.items, item, right.get(element)));
    for (const [element, item] of right) if (!left.has(element)) parts.add(element, compare(b.items, undefined, item));
    return parts.join();
  }
  return equal(before, after) ? unchanged : { ...unchanged, modified: leaf };
}

/** What comes or goes as a whole does so with everything on the way to its leaves. */
function wholeTree(schema: Schema, value: unknown): FieldSet {
  return asMember(fieldsOf(schema, value, '', true));
}

/** The comparisons of a value's parts, as one. */
class Parts {
  #added: SetBuilder | undefined;
  #modified: SetBuilder | undefined;
  #removed: SetBuilder | undefined;

  add(element: string, part: Comparison): void {
    if (part === unchanged) return;
    if (!isEmptySet(part.added)) (this.#added ??= new SetBuilder()).add(element, part.added);
    if (!isEmptySet(part.modified)) (this.#modified ??= new SetBuilder()).add(element, part.modified);
    if (!isEmptySet(part.removed)) (this.#removed ??= new SetBuilder()).add(element, part.removed);
  }

  join(): Comparison {
    if (!this.#added && !this.#modified && !this.#removed) return unchanged;
    return { added: this.#added?.build(false) ?? emptySet, modified: this.#modified?.build(false) ?? emptySet, removed: this.#removed?.build(false) ?? emptySet };
  }
}

function byElement(shape: ListShape): Map<string, unknown> {
  return new Map(shape.value.map((item, i) => [shape.element(item, '', i), item]));
}

/** `live` with everything that `config` says. Items that both have keep the order of `config`; the others their places. */
export function merge(schema: Schema, live: unknown, config: unknown): unknown {
  if (config === undefined) return live;
  const [a, b] = [shapeOf(schema, live), shapeOf(schema, config)];
  if (a.kind === 'list' && b.kind === 'list') return mergeItems(a, b);
  if (b.kind !== 'map') return config;
  return mergeMap(a.kind === 'map' ? a.value : {}, b);
}

function mergeMap(live: JsonRecord, shape: MapShape): JsonRecord {
  const { value } = shape;
  const result: JsonRecord = {};
  for (const key of Object.keys(live)) setOwn(result, key, live[key]);
  for (const key of Object.keys(value)) setOwn(result, key, merge(shape.schemaOf(key), own(live, key), own(value, key)));
  return result;
}

function mergeItems(live: ListShape, config: ListShape): unknown[] {
  const wanted = byElement(config);
  const existing = byElement(live);
  const queue = wanted.entries();
  const waiting = new Set(wanted.keys());
  const result: unknown[] = [];
  const take = (upTo: string | undefined): void => {
    for (let next = queue.next(); !next.done; next = queue.next()) {
      const [element, item] = next.value;
      result.push(merge(config.items, existing.get(element), item));
      waiting.delete(element);
      if (element === upTo) return;
    }
  };
  for (const [i, item] of live.value.entries()) {
    const element = live.element(item, '', i);
    if (!wanted.has(element)) result.push(item);
    else if (waiting.has(element)) take(element);
  }
  take(undefined);
  return result;
}

/** `value` without the fields of `fields`; what is left empty goes as well, unless it is in `kept` itself. */
export function removeFields(schema: Schema, value: unknown, fields: FieldSet, kept: FieldSet): unknown {
  if (fields.member) return undefined;
  const shape = shapeOf(schema, value);
  if (fields.children.size === 0 || shape.kind === 'whole') return value;
  if (shape.kind === 'list') {
    const left = shape.value.flatMap((item, i) => {
      const element = shape.element(item, '', i);
      const gone = fields.children.get(element);
      const rest = gone ? removeFields(shape.items, item, gone, kept.children.get(element) ?? emptySet) : item;
      return rest === undefined ? [] : [rest];
    });
    return left.length === 0 && !kept.member ? undefined : left;
  }
  const result: JsonRecord = {};
  for (const key of Object.keys(shape.value)) {
    const gone = fields.children.get(`f:${key}`);
    const child = own(shape.value, key);
    const rest = gone ? removeFields(shape.schemaOf(key), child, gone, kept.children.get(`f:${key}`) ?? emptySet) : child;
    if (rest !== undefined) setOwn(result, key, rest);
  }
  return Object.keys(result).length === 0 && !kept.member ? undefined : result;
}

/** `set` with the fields of structs that lead to its members: who owns `a.b.c` shares in `a` and `a.b`, unless those are free maps. */
export function withStructs(schema: Schema, value: unknown, set: FieldSet): FieldSet {
  const shape = shapeOf(schema, value);
  if (shape.kind === 'whole') return set;
  if (shape.kind === 'list') {
    const items = byElement(shape);
    return setOf(set.member, [...set.children].map(([element, child]) => [element, withStructs(shape.items, items.get(element), child)]));
  }
  return setOf(set.member, [...set.children].map(([element, child]) => {
    const key = element.slice(2);
    const deeper = withStructs(shape.schemaOf(key), own(shape.value, key), child);
    return [element, shape.named(key) ? { ...deeper, member: true } : deeper];
  }));
}
