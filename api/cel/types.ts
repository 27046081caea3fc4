/** The types of CEL, with Kubernetes' additions. Source: https://github.com/google/cel-spec/blob/master/doc/langdef.md */
export type CelType =
  | { readonly kind: 'dyn' | 'null' | 'bool' | 'int' | 'uint' | 'double' | 'string' | 'bytes' | 'timestamp' | 'duration' | 'type' }
  /** `keys`: items are one when these fields are; none: when they are equal. Absent where the order counts. */
  | { readonly kind: 'list'; readonly item: CelType; readonly keys?: readonly string[] }
  | { readonly kind: 'map'; readonly key: CelType; readonly value: CelType }
  | ObjectType
  /** A type that only its own functions look into; `parameters` of `optional_type(T)`. */
  | { readonly kind: 'opaque'; readonly name: string; readonly parameters: readonly CelType[] }
  /** A type parameter of a function. */
  | { readonly kind: 'parameter'; readonly name: string };

export interface ObjectField {
  readonly type: CelType;
  /** The field's name in JSON; in expressions it is escaped. */
  readonly json: string;
}

export interface ObjectType {
  readonly kind: 'object';
  readonly name: string;
  /** By the name in expressions. */
  readonly fields: ReadonlyMap<string, ObjectField>;
}

export const dyn: CelType = { kind: 'dyn' };
export const nullType: CelType = { kind: 'null' };
export const bool: CelType = { kind: 'bool' };
export const int: CelType = { kind: 'int' };
export const uint: CelType = { kind: 'uint' };
export const double: CelType = { kind: 'double' };
export const string: CelType = { kind: 'string' };
export const bytes: CelType = { kind: 'bytes' };
export const timestamp: CelType = { kind: 'timestamp' };
export const duration: CelType = { kind: 'duration' };
export const typeType: CelType = { kind: 'type' };
export const list = (item: CelType): CelType => ({ kind: 'list', item });
export const map = (key: CelType, value: CelType): CelType => ({ kind: 'map', key, value });
export const opaque = (name: string, ...parameters: CelType[]): CelType => ({ kind: 'opaque', name, parameters });
export const optional = (of: CelType): CelType => opaque('optional_type', of);
export const parameter = (name: string): CelType => ({ kind: 'parameter', name });

const names: Readonly<Partial<Record<CelType['kind'], string>>> = { null: 'null_type', timestamp: 'google.protobuf.Timestamp', duration: 'google.protobuf.Duration' };

/** As CEL prints it: `list(int)`, `map(string, dyn)`. */
export function printType(type: CelType): string {
  switch (type.kind) {
    case 'list': return `list(${printType(type.item)})`;
    case 'map': return `map(${printType(type.key)}, ${printType(type.value)})`;
    case 'object': case 'parameter': return type.name;
    case 'opaque': return type.parameters.length === 0 ? type.name : `${type.name}(${type.parameters.map(printType).join(', ')})`;
    default: return names[type.kind] ?? type.kind;
  }
}

/** What type parameters stand for. */
export type Substitution = Map<string, CelType>;

export function substitute(type: CelType, by: Substitution, unknown: CelType | undefined = dyn): CelType {
  switch (type.kind) {
    case 'parameter': {
      const found = by.get(type.name);
      return found === undefined ? unknown ?? type : substitute(found, by, unknown);
    }
    case 'list': return list(substitute(type.item, by, unknown));
    case 'map': return map(substitute(type.key, by, unknown), substitute(type.value, by, unknown));
    case 'opaque': return type.parameters.length === 0 ? type : { ...type, parameters: type.parameters.map((one) => substitute(one, by, unknown)) };
    default: return type;
  }
}

/** Whether a value of `actual` may stand where `wanted` is asked for; notes in `by` what `wanted`'s parameters must then be. */
export function assignable(wanted: CelType, actual: CelType, by: Substitution): boolean {
  if (wanted.kind === 'parameter') {
    const known = by.get(wanted.name);
    if (known === undefined || known.kind === 'dyn') {
      by.set(wanted.name, actual);
      return true;
    }
    if (assignable(known, actual, by)) {
      // The wider of the two: `list(dyn)` beside `list(string)`.
      if (assignable(actual, known, by) && mentionsDyn(actual)) by.set(wanted.name, actual);
      return true;
    }
    if (!assignable(actual, known, by)) return false;
    by.set(wanted.name, actual);
    return true;
  }
  if (wanted.kind === 'dyn' || actual.kind === 'dyn' || actual.kind === 'parameter') return true;
  if (actual.kind === 'null' && ['object', 'opaque', 'timestamp', 'duration', 'null'].includes(wanted.kind)) return true;
  if (wanted.kind === 'list') return actual.kind === 'list' && assignable(wanted.item, actual.item, by);
  if (wanted.kind === 'map') return actual.kind === 'map' && assignable(wanted.key, actual.key, by) && assignable(wanted.value, actual.value, by);
  if (wanted.kind === 'object') return actual.kind === 'object' && wanted.name === actual.name;
  if (wanted.kind === 'opaque') {
    return actual.kind === 'opaque' && wanted.name === actual.name && wanted.parameters.every((one, i) => assignable(one, actual.parameters[i] ?? dyn, by));
  }
  return wanted.kind === actual.kind;
}

function mentionsDyn(type: CelType): boolean {
  if (type.kind === 'list') return mentionsDyn(type.item);
  if (type.kind === 'map') return mentionsDyn(type.key) || mentionsDyn(type.value);
  return type.kind === 'dyn';
}
