import { qualifiedName, type Resource } from '#api/kinds/resources.ts';
import { freeze } from '#api/meta/equal.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { silentLog } from '#common/log.ts';
import { parseBytes } from '#controlplane/apiserver/encoding.ts';
import { StoreInformer } from '#controlplane/cache/store-informer.ts';
import type { Indexes, Informer } from '#controlplane/cache/types.ts';
import { storePrefix } from '#controlplane/store/keys.ts';
import type { Store } from '#controlplane/store/types.ts';

interface Followed { readonly informer: StoreInformer<KubeObject>; readonly waiting: { readonly key: string; readonly object: KubeObject | undefined }[] }

/**
 * Informers of a real store that learn of changes when they are let: of one resource in order, of several in any order
 * between each other, as with real watches.
 */
export class PacedInformers {
  readonly #store: Store;
  readonly #followed = new Map<string, Followed>();
  readonly #end = new AbortController();

  constructor(store: Store) {
    this.#store = store;
  }

  informer<T extends KubeObject>(resource: Resource<T>, indexes?: Indexes<T>): Informer<T> {
    const prefix = storePrefix(resource);
    let followed = this.#followed.get(prefix);
    if (!followed) {
      followed = { informer: new StoreInformer<KubeObject>({ log: silentLog }, { prefix, resource: qualifiedName(resource) }), waiting: [] };
      this.#followed.set(prefix, followed);
      void this.#follow(prefix, followed);
    }
    if (indexes) followed.informer.addIndexes(indexes as Indexes<KubeObject>);
    return followed.informer as unknown as Informer<T>;
  }

  /** Prefixes of resources that something has happened to which is not known yet. */
  get behind(): string[] {
    return [...this.#followed].filter(([, { waiting }]) => waiting.length > 0).map(([prefix]) => prefix);
  }

  /** Lets `count` changes of a resource be known. */
  deliver(prefix: string, count: number): void {
    const followed = this.#followed.get(prefix);
    for (const { key, object } of followed?.waiting.splice(0, count) ?? []) followed?.informer.apply(key, object);
  }

  close(): void {
    this.#end.abort(new Error('killed'));
  }

  async #follow(prefix: string, { informer, waiting }: Followed): Promise<void> {
    const { signal } = this.#end;
    const { entries, revision } = await this.#store.list({ prefix });
    if (signal.aborted) return;
    informer.replace(new Map(entries.map(({ key, value }) => [key, freeze(parseBytes(value))])));
    for await (const events of this.#store.watch({ prefix, after: revision, signal })) {
      for (const { key, type, value } of events) waiting.push({ key, object: type === 'delete' ? undefined : freeze(parseBytes(value)) });
    }
  }
}
