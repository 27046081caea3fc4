import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SortedIndex } from './sorted-index.ts';
import { newVersion, type Slot } from './versions.ts';

function slot(key: string): Slot {
  const entry = { key, value: new Uint8Array(0), createRevision: 1, modRevision: 1 };
  return { key, latest: newVersion({ createRevision: 1, deleted: false, durable: true, crc: 0 }, entry, undefined) };
}

const keys = fc.integer({ min: 0, max: 3000 }).map((n) => `${n % 3 === 0 ? 'a' : 'b'}/${String(n)}`);

test('is a sorted set of keys with ranges by prefix', () => {
  fc.assert(fc.property(fc.array(keys, { maxLength: 2500, size: 'max' }), fc.array(keys, { maxLength: 500 }), fc.constantFrom('', 'a/', 'b/1', 'a/29', 'c'), keys, (added, removed, prefix, after) => {
    const index = new SortedIndex();
    const model = new Set<string>();
    for (const key of added) if (!model.has(key)) { model.add(key); index.insert(slot(key)); }
    for (const key of removed) { model.delete(key); index.remove(key); }
    const sorted = [...model].sort((a, b) => (a < b ? -1 : 1)).filter((key) => key.startsWith(prefix));
    expect(index.size).toBe(model.size);
    const keysOf = (from: string | undefined, most: number): string[] => {
      const seen: string[] = [];
      index.visit(prefix, from, ({ key }) => seen.push(key) < most);
      return seen;
    };
    expect(keysOf(undefined, Infinity)).toEqual(sorted);
    expect(keysOf(after, Infinity)).toEqual(sorted.filter((key) => key > after));
    expect(keysOf(after, 3)).toEqual(sorted.filter((key) => key > after).slice(0, 3));
  }), { numRuns: 60 });
});
