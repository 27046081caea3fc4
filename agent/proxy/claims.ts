/** What one service port wants in the kernel: kind → key → value. */
export type Wishes<V = string> = ReadonlyMap<string, ReadonlyMap<string, V>>;

/** One key of one kind, before and after; absent for not there. */
export interface ClaimChange<V = string> {
  readonly kind: string;
  readonly key: string;
  readonly before: V | undefined;
  readonly after: V | undefined;
}

/**
 * Who wants what. A key that several service ports claim, such as an address and port, belongs to the one whose id
 * sorts first; the next takes over when that goes, whatever the order of changes.
 */
export class Claims<V = string> {
  readonly #wishes = new Map<string, Wishes<V>>();
  /** Kind → key → id → value. */
  readonly #claims = new Map<string, Map<string, Map<string, V>>>();

  clear(): void {
    this.#wishes.clear();
    this.#claims.clear();
  }

  wishesOf(id: string): Wishes<V> | undefined {
    return this.#wishes.get(id);
  }

  /** Puts new wishes in the place of each id's (undefined: none any more), and says what that changes. */
  update(updates: Iterable<readonly [id: string, wishes: Wishes<V> | undefined]>): ClaimChange<V>[] {
    const touched = new Map<string, Map<string, V | undefined>>();
    for (const [id, after] of updates) {
      const before = this.#wishes.get(id);
      for (const wishes of [before, after]) this.#remember(wishes, touched);
      if (before) this.#remove(id, before);
      if (after) this.#add(id, after);
    }
    const changes: ClaimChange<V>[] = [];
    for (const [kind, keys] of touched) {
      for (const [key, before] of keys) {
        const after = this.value(kind, key);
        if (before !== after) changes.push({ kind, key, before, after });
      }
    }
    return changes;
  }

  /** What a key is now. */
  value(kind: string, key: string): V | undefined {
    const owners = this.#claims.get(kind)?.get(key);
    let first: string | undefined;
    for (const id of owners?.keys() ?? []) if (first === undefined || id < first) first = id;
    return first === undefined ? undefined : owners?.get(first);
  }

  keys(kind: string): Iterable<string> {
    return this.#claims.get(kind)?.keys() ?? [];
  }

  kinds(): Iterable<string> {
    return this.#claims.keys();
  }

  /** Notes what the keys of `wishes` were, once. */
  #remember(wishes: Wishes<V> | undefined, touched: Map<string, Map<string, V | undefined>>): void {
    for (const [kind, keys] of wishes ?? []) {
      const seen = touched.get(kind) ?? new Map<string, V | undefined>();
      touched.set(kind, seen);
      for (const key of keys.keys()) if (!seen.has(key)) seen.set(key, this.value(kind, key));
    }
  }

  #add(id: string, wishes: Wishes<V>): void {
    this.#wishes.set(id, wishes);
    for (const [kind, keys] of wishes) {
      const claims = this.#claims.get(kind) ?? new Map<string, Map<string, V>>();
      this.#claims.set(kind, claims);
      for (const [key, value] of keys) {
        const owners = claims.get(key) ?? new Map<string, V>();
        claims.set(key, owners.set(id, value));
      }
    }
  }

  #remove(id: string, wishes: Wishes<V>): void {
    this.#wishes.delete(id);
    for (const [kind, keys] of wishes) {
      const claims = this.#claims.get(kind);
      for (const key of keys.keys()) {
        const owners = claims?.get(key);
        owners?.delete(id);
        if (owners?.size === 0) claims?.delete(key);
      }
    }
  }
}
