import { isRecord, own, setOwn, type JsonRecord } from '#api/meta/json.ts';
import { gvkMatches, gvkText, type GvkSelector } from './kinds.ts';
import { refuse, within } from './refuse.ts';
import { idText, type Resource } from './resource.ts';

/** A field of some kinds: `spec/template/metadata/labels`; lists on the way are gone through, `\/` is a slash. */
export interface FieldSpec extends GvkSelector { readonly path: string; readonly create?: boolean | undefined }

/** Gives the value to put in place of one that is there (or missing, where it may be made). */
export type Change = (value: unknown) => unknown;

/** Changes the field wherever the object has it, and makes it where the spec allows and `made` says of what sort. */
export function changeField(resource: Resource, spec: FieldSpec, change: Change, made?: 'map' | 'scalar'): void {
  if (!gvkMatches(resource.gvk, spec)) return;
  try {
    into(resource.fields, splitPath(spec.path), change, spec.create === true ? made : undefined);
  } catch (error) {
    throw within(`considering field '${spec.path}' of object ${idText(resource.id)}`, error);
  }
}

function into(value: unknown, path: readonly string[], change: Change, made: 'map' | 'scalar' | undefined): void {
  if (Array.isArray(value)) for (const item of value) into(item, path, change, made);
  else if (isRecord(value)) field(value, path, change, made);
  else if (value !== null && value !== undefined) throw refuse('expected sequence or mapping node');
}

function field(object: JsonRecord, [name = '', ...rest]: readonly string[], change: Change, made: 'map' | 'scalar' | undefined): void {
  const list = name.endsWith('[]');
  const key = list ? name.slice(0, -2) : name;
  let value = own(object, key);
  if (value === undefined || value === null) {
    if (made === undefined || list) return;
    value = rest.length > 0 || made === 'map' ? {} : undefined;
  }
  if (rest.length > 0) {
    setOwn(object, key, value);
    into(value, rest, change, made);
  } else {
    setOwn(object, key, change(value));
  }
}

/** True when the path leads to something; the objects without it need no look at their references. */
export function hasField(value: unknown, [name, ...rest]: readonly string[]): boolean {
  if (name === undefined) return value !== undefined && value !== null;
  if (Array.isArray(value)) return value.some((item) => hasField(item, [name, ...rest]));
  return isRecord(value) && hasField(own(value, name.replace(/\[\]$/, '')), rest);
}

export function splitPath(path: string): string[] {
  return path.split(/(?<!\\)\//).map((part) => part.replaceAll('\\/', '/'));
}

/** The first specs, and those of the second that are not among them. */
export function joinSpecs(first: readonly FieldSpec[], second: readonly FieldSpec[]): FieldSpec[] {
  const same = (a: FieldSpec, b: FieldSpec): boolean => a.path === b.path && gvkText(a) === gvkText(b);
  return [...first, ...second.filter((spec) => !first.some((other) => same(other, spec)))];
}
