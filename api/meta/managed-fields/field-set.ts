import { isRecord, setOwn, type JsonRecord } from '../json.ts';

/**
 * A set of field paths, as a tree. An element is written as in `fieldsV1`: `f:name` for a field, `k:{"name":"x"}`
 * for an item of a list with keys, `v:"x"` for an item of a list that is a set. Never changed once built.
 * Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/ and ManagedFieldsEntry of the API reference.
 */
export interface FieldSet {
  /** The path that leads here is itself in the set. */
  readonly member: boolean;
  readonly children: ReadonlyMap<string, FieldSet>;
}

const noChildren: ReadonlyMap<string, FieldSet> = new Map();

export const emptySet: FieldSet = { member: false, children: noChildren };
/** One path, ending here. */
export const leaf: FieldSet = { member: true, children: noChildren };

export function isEmptySet({ member, children }: FieldSet): boolean {
  return !member && children.size === 0;
}

/** Leaves out children without a path in them. */
export function setOf(member: boolean, children: Iterable<readonly [string, FieldSet]>): FieldSet {
  const set = new SetBuilder();
  for (const [element, child] of children) set.add(element, child);
  return set.build(member);
}

/** As `setOf`, child by child: sets are made of every write, and most of their parts are small or empty. */
export class SetBuilder {
  #children: Map<string, FieldSet> | undefined;

  add(element: string, child: FieldSet): void {
    if (!isEmptySet(child)) (this.#children ??= new Map()).set(element, child);
  }

  build(member: boolean): FieldSet {
    if (this.#children) return { member, children: this.#children };
    return member ? leaf : emptySet;
  }
}

function combine(a: FieldSet, b: FieldSet, keep: (inA: boolean, inB: boolean) => boolean): FieldSet {
  const set = new SetBuilder();
  for (const [element, child] of a.children) set.add(element, combine(child, b.children.get(element) ?? emptySet, keep));
  for (const [element, child] of b.children) if (!a.children.has(element)) set.add(element, combine(emptySet, child, keep));
  return set.build(keep(a.member, b.member));
}

export function union(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a)) return b;
  return isEmptySet(b) ? a : combine(a, b, (inA, inB) => inA || inB);
}

export function difference(a: FieldSet, b: FieldSet): FieldSet {
  return isEmptySet(b) ? a : combine(a, b, (inA, inB) => inA && !inB);
}

export function intersection(a: FieldSet, b: FieldSet): FieldSet {
  if (isEmptySet(a) || isEmptySet(b)) return emptySet;
  return combine(a, b, (inA, inB) => inA && inB);
}

/** `a` without what is in `removed` or below it. */
export function withoutTrees(a: FieldSet, removed: FieldSet): FieldSet {
  if (removed.member) return emptySet;
  if (removed.children.size === 0) return a;
  const set = new SetBuilder();
  for (const [element, child] of a.children) {
    const gone = removed.children.get(element);
    set.add(element, gone ? withoutTrees(child, gone) : child);
  }
  return set.build(a.member);
}

export function sameSet(a: FieldSet, b: FieldSet): boolean {
  return a.member === b.member && a.children.size === b.children.size
    && [...a.children].every(([element, child]) => { const other = b.children.get(element); return other !== undefined && sameSet(child, other); });
}

/** Every path, as Kubernetes writes it in a conflict: `.spec.containers[name="web"].image`. */
export function pathsOf(set: FieldSet, prefix = ''): string[] {
  return [...(set.member ? [prefix] : []), ...[...set.children].flatMap(([element, child]) => pathsOf(child, prefix + printElement(element)))];
}

function printElement(element: string): string {
  const text = element.slice(2);
  if (element.startsWith('f:')) return `.${text}`;
  if (element.startsWith('v:')) return `[=${text}]`;
  const keys = JSON.parse(text) as JsonRecord;
  return `[${Object.keys(keys).map((key) => `${key}=${JSON.stringify(keys[key])}`).join(',')}]`;
}

/** The set as `fieldsV1`. */
export function encodeFields(set: FieldSet): JsonRecord {
  const result: JsonRecord = {};
  if (set.member && set.children.size > 0) result['.'] = {};
  const elements = [...set.children.keys()];
  if (elements.length > 1) elements.sort();
  for (const element of elements) setOwn(result, element, encodeFields(set.children.get(element) ?? emptySet));
  return result;
}

/** Reads `fieldsV1`; what is not of its form is left out. */
export function decodeFields(value: unknown, root = true): FieldSet {
  if (!isRecord(value)) return emptySet;
  const set = new SetBuilder();
  let isLeaf = true;
  let isSelf = false;
  for (const element of Object.keys(value)) {
    if (element === '.') {
      isSelf = true;
      continue;
    }
    isLeaf = false;
    if (/^[fvk]:/.test(element) && soundKey(element)) set.add(element, decodeFields(value[element], false));
  }
  return set.build(!root && (isLeaf || isSelf));
}

function soundKey(element: string): boolean {
  if (!element.startsWith('k:')) return true;
  try {
    return isRecord(JSON.parse(element.slice(2)));
  } catch {
    return false;
  }
}
