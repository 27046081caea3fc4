import { StatusError } from '#common/errors.ts';
import { isRecord, own, type JsonRecord } from './json.ts';

/** Merges a patch into the item of a list that has the same key. */
export type MergeItem = (original: JsonRecord, patch: JsonRecord) => JsonRecord;

function bad(message: string): StatusError {
  return new StatusError('BadRequest', `cannot apply the strategic merge patch: ${message}`);
}

/** What makes an item of a list the same item: its merge key, or the item itself in a list of scalars. */
function identity(item: unknown, mergeKey: string | undefined): string {
  if (mergeKey === undefined) {
    if (typeof item === 'object' && item !== null) throw bad('a list of objects without a merge key cannot be merged');
    return JSON.stringify(item);
  }
  const key = isRecord(item) ? own(item, mergeKey) : undefined;
  if (key === undefined || key === null) throw bad(`an item does not contain declared merge key: ${mergeKey}`);
  return String(key);
}

function directiveOf(item: unknown): unknown {
  return isRecord(item) ? own(item, '$patch') : undefined;
}

function unwrap(item: unknown): JsonRecord {
  if (!isRecord(item)) throw bad('a list holds both objects and scalars');
  return item;
}

/** Merges two lists by `mergeKey` (scalars: as a set), then restores Kubernetes' order of the result. */
export function mergeLists(original: readonly unknown[], patch: readonly unknown[], mergeKey: string | undefined, mergeItem: MergeItem): unknown[] {
  if (mergeKey === undefined) {
    const seen = new Map([...original, ...patch].map((item) => [identity(item, undefined), item]));
    return enforceOrder([...seen.values()], patch, original, undefined);
  }
  const replaced = patch.some((item) => directiveOf(item) === 'replace');
  const values = patch.filter((item) => directiveOf(item) === undefined);
  const unknown = patch.find((item) => !['replace', 'delete', undefined].includes(directiveOf(item) as string | undefined));
  if (unknown !== undefined) throw bad('the $patch of a list item must be replace or delete');
  const deleted = new Set(patch.filter((item) => directiveOf(item) === 'delete').map((item) => identity(item, mergeKey)));
  // Several items may share a key (a Service's port 53, TCP and UDP); a patch then meets the first.
  const merged = replaced ? [] : original.filter((item) => !deleted.has(identity(item, mergeKey)));
  const positions = positionsOf(merged, mergeKey);
  for (const item of values) {
    const key = identity(item, mergeKey);
    const position = positions.get(key);
    if (position !== undefined) merged[position] = mergeItem(unwrap(merged[position]), unwrap(item));
    else {
      positions.set(key, merged.length);
      merged.push(mergeItem({}, unwrap(item)));
    }
  }
  return enforceOrder(merged, values, original, mergeKey);
}

/** The order of a patch's list must agree with the `$setElementOrder` beside it. */
export function requireOrder(patch: readonly unknown[], order: readonly unknown[], mergeKey: string | undefined, field: string): void {
  const positions = new Map(order.map((item, index) => [identity(item, mergeKey), index]));
  let last = -1;
  for (const item of patch) {
    if (directiveOf(item) !== undefined) continue;
    const position = positions.get(identity(item, mergeKey));
    if (position === undefined || position < last) throw bad(`the order in patch list ${field} doesn't match $setElementOrder list`);
    last = position;
  }
}

/**
 * Items named by `order` stand in its order; the others keep their order in `original`; the two are woven together
 * so that an item of the others stands before the first named one that followed it in `original`.
 */
export function enforceOrder(items: readonly unknown[], order: readonly unknown[], original: readonly unknown[], mergeKey: string | undefined): unknown[] {
  const wanted = positionsOf(order, mergeKey);
  const before = positionsOf(original, mergeKey);
  const named: Array<{ item: unknown; key: string }> = [];
  const others: Array<{ item: unknown; key: string }> = [];
  for (const item of items) {
    const key = identity(item, mergeKey);
    (wanted.has(key) ? named : others).push({ item, key });
  }
  const by = (positions: ReadonlyMap<string, number>) => (a: { key: string }, b: { key: string }) => (positions.get(a.key) ?? 0) - (positions.get(b.key) ?? 0);
  named.sort(by(wanted));
  others.sort(by(before));
  const result: unknown[] = [];
  let next = 0;
  for (const { item, key } of named) {
    const position = before.get(key);
    while (position !== undefined && next < others.length && (before.get(others[next]?.key ?? '') ?? Infinity) < position) result.push(others[next++]?.item);
    result.push(item);
  }
  return [...result, ...others.slice(next).map(({ item }) => item)];
}

function positionsOf(list: readonly unknown[], mergeKey: string | undefined): Map<string, number> {
  const positions = new Map<string, number>();
  for (const [index, item] of list.entries()) {
    const key = identity(item, mergeKey);
    if (!positions.has(key)) positions.set(key, index);
  }
  return positions;
}
