import type { Resource } from '#api/kinds/resources.ts';
import { freeze } from '#api/meta/equal.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { storeKey, storePrefix } from '#controlplane/store/keys.ts';
import type { Entry, Store } from '#controlplane/store/types.ts';
import { parseBytes } from '../encoding.ts';

/** The rules that admission goes by, read from the store itself: what was made a moment ago holds for the next write. */
export class StoredObjects {
  readonly #store: Store;
  readonly #parsed = new WeakMap<Uint8Array, KubeObject>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** Costs nothing: what is rarely there need not be looked for. */
  any(resource: Resource, namespace?: string): boolean {
    return this.#store.count(storePrefix(resource, namespace)) > 0;
  }

  /** Frozen, by name. */
  async list<T extends KubeObject>(resource: Resource<T>, namespace?: string): Promise<readonly T[]> {
    if (!this.any(resource, namespace)) return [];
    const { entries } = await this.#store.list({ prefix: storePrefix(resource, namespace) });
    return entries.map((entry) => this.#parse(entry) as T);
  }

  async get<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): Promise<T | undefined> {
    const entry = await this.#store.get(storeKey(resource, namespace, name));
    return entry && this.#parse(entry) as T;
  }

  #parse({ value }: Entry): KubeObject {
    let object = this.#parsed.get(value);
    if (!object) this.#parsed.set(value, object = freeze(parseBytes(value)));
    return object;
  }
}
