import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { Entry } from '#controlplane/store/types.ts';
import { joinItems, joinMade, type Item } from './resource-lists.ts';

it('joins items of every size, in pieces when they are many', () => {
  const item = fc.oneof(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 250_000, max: 300_000 }));
  fc.assert(fc.property(fc.array(item, { maxLength: 40 }), fc.string({ maxLength: 100 }), (sizes, head) => {
    const items = sizes.map((size, i) => Buffer.alloc(size, 97 + (i % 26)));
    const body = joinItems(head, items, ']}\n');
    // Each piece is copied before the next is asked for, as a sender does.
    const pieces = body instanceof Uint8Array ? [body] : [...(function* () { for (const piece of body) yield Buffer.from(piece); })()];
    expect(pieces.every((piece) => piece.length > 0)).toBe(true);
    expect(Buffer.concat(pieces).equals(Buffer.from(`${head}${items.join(',')}]}\n`))).toBe(true);
  }), { numRuns: 60 });
});

it.each([3, 3000])('makes %d items of their bytes as they are sent', (count) => {
  const entries = Array.from({ length: count }, (_, i) => ({ key: String(i), value: Buffer.from(`${String(i)} é`.padEnd(200, 'x')), createRevision: 1, modRevision: 1 }));
  const make = ({ key, value }: Entry): Item => (Number(key) % 2 === 0 ? Buffer.from(`[${key},"é"]`) : ['[', Buffer.from(Buffer.from(value).toString().split(' ')[0] ?? ''), ',"é"', ']']);
  const body = joinMade('{"rows":[', entries, make, ']}\n');
  const pieces = body instanceof Uint8Array ? [body] : [...(function* () { for (const piece of body) yield Buffer.from(piece); })()];
  expect(JSON.parse(Buffer.concat(pieces).toString())).toEqual({ rows: entries.map((_, i) => [i, 'é']) });
});
