import { StatusError } from '#common/errors.ts';
import { isRecord, own, type JsonRecord } from '../json.ts';
import { resolve, type Schema } from '../schema.ts';

/** How a value takes part in a merge. */
export type Shape =
  /** Owned and replaced as a whole. */
  | { readonly kind: 'whole' }
  /** Owned field by field. `named` tells a struct's field from a key of a free map. */
  | MapShape
  /** Owned item by item, known by `element`. */
  | { readonly kind: 'list'; readonly value: readonly unknown[]; readonly items: Schema; readonly element: (item: unknown, path: string, index: number) => string };

export class MapShape {
  readonly kind = 'map';
  readonly value: JsonRecord;
  readonly #properties: Schema['properties'];
  readonly #rest: Schema;

  constructor(value: JsonRecord, properties: Schema['properties'], rest: Schema) {
    this.value = value;
    this.#properties = properties;
    this.#rest = rest;
  }

  named(key: string): boolean {
    return this.#properties !== undefined && Object.hasOwn(this.#properties, key);
  }

  schemaOf(key: string): Schema {
    return this.named(key) ? this.#properties?.[key] ?? any : this.#rest;
  }
}

const any: Schema = {};
/** Fields that no schema knows are owned one by one, as far as they are objects. */
const unknown: Schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
const whole: Shape = { kind: 'whole' };
/** What the API fills in for a key that a client left out. */
const keyDefaults: Readonly<JsonRecord> = { protocol: 'TCP' };

/** The shape of `value` where `schema` stands. Source: the list and map types of Kubernetes' merge strategy. */
export function shapeOf(schema: Schema, value: unknown): Shape {
  const target = resolve(schema);
  if (Array.isArray(value)) return listShape(schema, target, value);
  if (!isRecord(value) || (schema['x-kubernetes-map-type'] ?? target['x-kubernetes-map-type']) === 'atomic') return whole;
  const { properties, additionalProperties } = target;
  const open = target.type === 'object' && target['x-kubernetes-preserve-unknown-fields'] === true;
  if (properties === undefined && additionalProperties === undefined && !open) return whole;
  return new MapShape(value, properties, typeof additionalProperties === 'object' ? additionalProperties : open ? unknown : any);
}

function listShape(schema: Schema, target: Schema, value: readonly unknown[]): Shape {
  const type = schema['x-kubernetes-list-type'] ?? target['x-kubernetes-list-type'];
  const mergeKey = schema['x-kubernetes-patch-merge-key'];
  const merges = type === undefined && (schema['x-kubernetes-patch-strategy'] ?? '').split(',').includes('merge');
  const items = target.items ?? any;
  const keys = type === 'map' ? schema['x-kubernetes-list-map-keys'] ?? target['x-kubernetes-list-map-keys'] : merges && mergeKey !== undefined ? [mergeKey] : undefined;
  if (keys !== undefined) return { kind: 'list', value, items, element: (item, path, index) => keyElement(keys, items, item, path, index) };
  return type === 'set' || merges ? { kind: 'list', value, items, element: (item) => `v:${JSON.stringify(item)}` } : whole;
}

function keyElement(keys: readonly string[], schema: Schema, item: unknown, path: string, index: number): string {
  const found: JsonRecord = {};
  for (const key of [...keys].sort()) {
    const value = (isRecord(item) ? own(item, key) : undefined) ?? schema.properties?.[key]?.default ?? own(keyDefaults, key);
    if (value === undefined || value === null) throw new StatusError('BadRequest', `${path}: element ${String(index)}: associative list with keys has an element that omits key field ${JSON.stringify(key)}`);
    found[key] = value;
  }
  return `k:${JSON.stringify(found)}`;
}
