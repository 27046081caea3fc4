/** Where an item stands in its heap; -1 when in none. An item can be in one heap at a time. */
export interface HeapItem {
  heapIndex: number;
}

/** A binary heap from which any item can be removed in O(log n). `before(a, b)`: a comes out first. */
export class Heap<T extends HeapItem> {
  readonly #items: T[] = [];
  readonly #before: (a: T, b: T) => boolean;

  constructor(before: (a: T, b: T) => boolean) {
    this.#before = before;
  }

  get size(): number { return this.#items.length; }

  peek(): T | undefined { return this.#items[0]; }

  push(item: T): void {
    this.#items.push(item);
    this.#up(item, this.#items.length - 1);
  }

  pop(): T | undefined {
    const first = this.#items[0];
    if (first) this.remove(first);
    return first;
  }

  remove(item: T): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    const last = this.#items.pop();
    if (!last || last === item) return;
    this.#up(last, index);
    this.#down(last, last.heapIndex);
  }

  #up(item: T, start: number): void {
    let index = start;
    while (index > 0) {
      const parentIndex = (index - 1) >> 1;
      const parent = this.#items[parentIndex];
      if (!parent || !this.#before(item, parent)) break;
      this.#set(index, parent);
      index = parentIndex;
    }
    this.#set(index, item);
  }

  #down(item: T, start: number): void {
    let index = start;
    for (;;) {
      const left = this.#items[2 * index + 1];
      const right = this.#items[2 * index + 2];
      const child = left && right && this.#before(right, left) ? right : left;
      if (!child || !this.#before(child, item)) break;
      const childIndex = child.heapIndex;
      this.#set(index, child);
      index = childIndex;
    }
    this.#set(index, item);
  }

  #set(index: number, item: T): void {
    this.#items[index] = item;
    item.heapIndex = index;
  }
}
