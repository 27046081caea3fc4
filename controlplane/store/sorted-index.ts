import type { Slot } from './versions.ts';

const maxChunk = 512;

/**
 * Slots in order of their keys, as a list of short sorted arrays: an insertion moves a few hundred pointers
 * at most, a range is a walk over arrays.
 */
export class SortedIndex {
  readonly #byKey = new Map<string, Slot>();
  readonly #chunks: Slot[][] = [];

  get size(): number { return this.#byKey.size; }

  get(key: string): Slot | undefined {
    return this.#byKey.get(key);
  }

  /** The key must not be there yet. */
  insert(slot: Slot): void {
    this.#byKey.set(slot.key, slot);
    const at = Math.max(0, this.#chunkFor(slot.key));
    const chunk = this.#chunks[at];
    if (!chunk) { this.#chunks.push([slot]); return; }
    chunk.splice(lowerBound(chunk, slot.key), 0, slot);
    if (chunk.length > maxChunk) this.#chunks.splice(at + 1, 0, chunk.splice(maxChunk >> 1));
  }

  remove(key: string): void {
    if (!this.#byKey.delete(key)) return;
    const at = this.#chunkFor(key);
    const chunk = this.#chunks[at];
    if (!chunk) return;
    chunk.splice(lowerBound(chunk, key), 1);
    if (chunk.length === 0) this.#chunks.splice(at, 1);
  }

  /** Slots whose key starts with `prefix` and is greater than `after`, in order, until `take` returns false. The index must not change meanwhile. */
  visit(prefix: string, after: string | undefined, take: (slot: Slot) => boolean): void {
    const from = after !== undefined && after >= prefix ? after : prefix;
    let at = Math.max(0, this.#chunkFor(from));
    let start = lowerBound(this.#chunks[at] ?? [], from);
    for (; at < this.#chunks.length; at++, start = 0) {
      const chunk = this.#chunks[at] ?? [];
      // Keys in order: where the last has the prefix, all of them have it.
      const allMatch = chunk.at(-1)?.key.startsWith(prefix) === true;
      if (chunk[start]?.key === after) start++;
      for (let i = start; i < chunk.length; i++) {
        const slot = chunk[i];
        if (slot && !((allMatch || slot.key.startsWith(prefix)) && take(slot))) return;
      }
    }
  }

  /** The last chunk that begins at or before `key`; -1 when none does. */
  #chunkFor(key: string): number {
    let low = 0;
    let high = this.#chunks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const first = this.#chunks[middle]?.[0];
      if (first && first.key <= key) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** Position of the first slot whose key is not less than `key`. */
function lowerBound(chunk: readonly Slot[], key: string): number {
  let low = 0;
  let high = chunk.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const slot = chunk[middle];
    if (slot && slot.key < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
