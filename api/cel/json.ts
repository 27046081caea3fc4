import { isRecord, own, type JsonRecord } from '../meta/json.ts';
import { isDateTime } from '../meta/formats.ts';
import { CelError } from './errors.ts';
import { parseDay, parseDuration, parseTimestamp } from './library/time.ts';
import { dyn, type CelType, type ObjectType } from './types.ts';
import { MapLike, unordered, type Value } from './values.ts';

/** JSON as a value of `type`. Nothing is copied: parts are made when they are looked at. */
export function fromJson(json: unknown, type: CelType = dyn): Value {
  if (json === null || json === undefined) return null;
  if (typeof json === 'number') return type.kind === 'double' || !Number.isInteger(json) ? json : BigInt(json);
  if (typeof json === 'boolean') return json;
  if (typeof json === 'string') return fromText(json, type);
  if (Array.isArray(json)) {
    const item = type.kind === 'list' ? type.item : dyn;
    const items = json.map((one) => fromJson(one, item));
    return type.kind === 'list' && type.keys ? unordered(items, type.keys) : items;
  }
  if (!isRecord(json)) throw new CelError('unsupported value');
  return type.kind === 'object' ? new JsonObject(json, type) : new JsonMap(json, type.kind === 'map' ? type.value : dyn);
}

function fromText(text: string, type: CelType): Value {
  switch (type.kind) {
    case 'timestamp': return isDateTime(text) ? parseTimestamp(text) : parseDay(text);
    case 'duration': return parseDuration(text);
    case 'bytes': return Uint8Array.from(Buffer.from(text, 'base64'));
    default: return text;
  }
}

/** A JSON object whose keys are data. */
class JsonMap extends MapLike {
  readonly #json: JsonRecord;
  readonly #type: CelType;
  readonly #made = new Map<string, Value>();

  constructor(json: JsonRecord, type: CelType) {
    super();
    this.#json = json;
    this.#type = type;
  }

  get size(): number { return Object.keys(this.#json).length; }

  get(key: Value): Value | undefined {
    if (typeof key !== 'string') return undefined;
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const json = own(this.#json, key);
    if (json === undefined) return undefined;
    const value = fromJson(json, this.#type);
    this.#made.set(key, value);
    return value;
  }

  keys(): Iterable<Value> { return Object.keys(this.#json); }
}

/** A JSON object whose keys are fields of a schema; only those can be seen. Null is the same as absent. */
class JsonObject extends MapLike {
  readonly #json: JsonRecord;
  readonly #type: ObjectType;
  readonly #made = new Map<string, Value>();

  constructor(json: JsonRecord, type: ObjectType) {
    super();
    this.#json = json;
    this.#type = type;
  }

  get size(): number { return [...this.keys()].length; }

  get(key: Value): Value | undefined {
    if (typeof key !== 'string') return undefined;
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const field = this.#type.fields.get(key);
    const json = field && own(this.#json, field.json);
    if (field === undefined || json === undefined) return undefined;
    const value = fromJson(json, field.type);
    this.#made.set(key, value);
    return value;
  }

  override has(key: Value): boolean {
    const found = this.get(key);
    return found !== undefined && found !== null;
  }

  *keys(): Iterable<Value> {
    for (const [name, { json }] of this.#type.fields) if (own(this.#json, json) !== undefined) yield name;
  }
}
