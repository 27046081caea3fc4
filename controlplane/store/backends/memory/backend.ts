import type { HeadNote, RowStore, RowWrite } from '../../types.ts';

/** Rows in memory, for tests and simulations: keeps them over `close`, so that a store can be opened on them again. */
export class MemoryRows implements RowStore {
  readonly location = 'memory';
  readonly #rows = new Map<string, Uint8Array>();
  #head: HeadNote | undefined;

  async * scan(from: string, to: string): AsyncGenerator<readonly (readonly [string, Uint8Array])[]> {
    await Promise.resolve();
    const found = [...this.#rows].filter(([name]) => name >= from && name < to).sort(([a], [b]) => (a < b ? -1 : 1));
    if (found.length > 0) yield found;
  }

  getMany(names: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    return Promise.resolve(names.map((name) => this.#rows.get(name)));
  }

  write(rows: readonly RowWrite[], _sync: boolean): Promise<void> {
    for (const { name, bytes } of rows) {
      if (bytes) this.#rows.set(name, bytes);
      else this.#rows.delete(name);
    }
    return Promise.resolve();
  }

  reopen(): Promise<void> { return Promise.resolve(); }
  noteHead(note: HeadNote): void { this.#head = note; }
  readHead(): HeadNote | undefined { return this.#head; }
  close(): Promise<void> { return Promise.resolve(); }
}
