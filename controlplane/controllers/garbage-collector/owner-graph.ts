/**
 * Who depends on whom, by owner's uid. Objects are known by key; only those that have owners are kept, so
 * that the graph costs little in a cluster where most objects have none.
 */
export class OwnerGraph {
  readonly #dependents = new Map<string, Set<string>>();
  readonly #owners = new Map<string, readonly string[]>();

  set(key: string, ownerUids: readonly string[]): void {
    this.remove(key);
    if (ownerUids.length === 0) return;
    this.#owners.set(key, ownerUids);
    for (const uid of ownerUids) {
      const dependents = this.#dependents.get(uid) ?? new Set();
      this.#dependents.set(uid, dependents.add(key));
    }
  }

  remove(key: string): void {
    for (const uid of this.#owners.get(key) ?? []) {
      const dependents = this.#dependents.get(uid);
      dependents?.delete(key);
      if (dependents?.size === 0) this.#dependents.delete(uid);
    }
    this.#owners.delete(key);
  }

  dependentsOf(uid: string | undefined): readonly string[] {
    return [...this.#dependents.get(uid ?? '') ?? []];
  }
}
