/** What one service port wants in the kernel: kind → key → value. */
export type Wishes = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** One key of one kind, before and after; absent for not there. */
export interface ClaimChange {
  readonly kind: string;
  readonly key: string;
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/**
 * Who wants what. A key that several service ports claim, such as an address and port, belongs to the one whose id
 * sorts first; the next takes over when that goes, whatever the order of changes.
 */
export class Claims {
  readonly #wishes = new Map<string, Wishes>();
  /** Kind → key → id → value. */
  readonly #claims = new Map<string, Map<string, Map<string, string>>>();

  clear(): void {
    this.#wishes.clear();
    this.#claims.clear();
  }

  wishesOf(id: string): Wishes | undefined {
    return this.#wishes.get(id);
  }

  /** Puts new wishes in the place of each id's (undefined: none any more), and says what that changes. */
  update(updates: Iterable<readonly [id: string, wishes: Wishes | undefined]>): ClaimChange[] {
    const touched = new Map<string, Map<string, string | undefined>>();
    for (const [id, after] of updates) {
      const before = this.#wishes.get(id);
      for (const wishes of [before, after]) this.#remember(wishes, touched);
      if (before) this.#remove(id, before);
      if (after) this.#add(id, after);
    }
    return [...touched].flatMap(([kind, keys]) => [...keys].flatMap(([key, before]) => {
      const after = this.value(kind, key);
      return before === after ? [] : [{ kind, key, before, after }];
    }));
  }

  /** What a key is now. */
  value(kind: string, key: string): string | undefined {
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
  #remember(wishes: Wishes | undefined, touched: Map<string, Map<string, string | undefined>>): void {
    for (const [kind, keys] of wishes ?? []) {
      const seen = touched.get(kind) ?? new Map<string, string | undefined>();
      touched.set(kind, seen);
      for (const key of keys.keys()) if (!seen.has(key)) seen.set(key, this.value(kind, key));
    }
  }

  #add(id: string, wishes: Wishes): void {
    this.#wishes.set(id, wishes);
    for (const [kind, keys] of wishes) {
      const claims = this.#claims.get(kind) ?? new Map<string, Map<string, string>>();
      this.#claims.set(kind, claims);
      for (const [key, value] of keys) {
        const owners = claims.get(key) ?? new Map<string, string>();
        claims.set(key, owners.set(id, value));
      }
    }
  }

  #remove(id: string, wishes: Wishes): void {
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
