import type { Resource } from '#api/kinds/resources.ts';
import { freeze } from '#api/meta/equal.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { parseBytes } from '#controlplane/apiserver/encoding.ts';
import { storeKey, storePrefix } from '#controlplane/store/keys.ts';
import type { Store } from '#controlplane/store/types.ts';

export interface Written { readonly key: string; readonly object: KubeObject | undefined; readonly old: KubeObject | undefined }

/** What is stored, write by write in their order over all resources, for those who look whether it may be so. */
export class Truth {
  readonly #objects = new Map<string, KubeObject>();
  readonly #end = new AbortController();

  constructor(store: Store, written: (change: Written) => void) {
    void this.#follow(store, written);
  }

  all<T extends KubeObject>(resource: Resource<T>): T[] {
    const prefix = storePrefix(resource);
    return [...this.#objects].filter(([key]) => key.startsWith(prefix)).map(([, object]) => object as T);
  }

  find<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(storeKey(resource, namespace, name)) as T | undefined;
  }

  entries(): Iterable<[string, KubeObject]> { return this.#objects; }

  close(): void { this.#end.abort(new Error('over')); }

  async #follow(store: Store, written: (change: Written) => void): Promise<void> {
    for await (const events of store.watch({ prefix: '', after: 0, signal: this.#end.signal })) {
      for (const { key, type, value } of events) {
        const object = type === 'delete' ? undefined : freeze(parseBytes(value));
        const old = this.#objects.get(key);
        if (object) this.#objects.set(key, object);
        else this.#objects.delete(key);
        written({ key, object, old });
      }
    }
  }
}
