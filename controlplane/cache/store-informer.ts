import type { KubeObject } from '#api/meta/object.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { ObjectIndex } from './object-index.ts';
import type { Indexes, Informer, InformerHandler } from './types.ts';

export interface StoreInformerConfig {
  /** `core/pods/`: what keys of the resource start with. */
  readonly prefix: string;
  /** For messages. */
  readonly resource: string;
}

/**
 * The shared copy of one resource: objects by store key, indexes, and handlers that are told of each change
 * after it is in. Filled by `Informers`; parts of it that nobody asks for cost nothing.
 */
export class StoreInformer<T extends KubeObject> implements Informer<T> {
  readonly #log: Log;
  readonly #config: StoreInformerConfig;
  readonly #objects = new Map<string, T>();
  readonly #index = new ObjectIndex<T>();
  readonly #handlers = new Set<{ readonly call: InformerHandler<T> }>();
  readonly #synced = Promise.withResolvers<undefined>();
  #isSynced = false;

  constructor(deps: { readonly log: Log }, config: StoreInformerConfig) {
    this.#log = deps.log;
    this.#config = config;
  }

  get prefix(): string { return this.#config.prefix; }
  get isSynced(): boolean { return this.#isSynced; }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(`${this.#config.prefix}${namespace ? `${namespace}/` : ''}${name}`);
  }

  /** By store key. */
  at(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(namespace?: string): readonly T[] {
    if (!namespace) return [...this.#objects.values()];
    const prefix = `${this.#config.prefix}${namespace}/`;
    const found: T[] = [];
    for (const [key, object] of this.#objects) if (key.startsWith(prefix)) found.push(object);
    return found;
  }

  by(index: string, value: string): readonly T[] {
    return this.#index.by(index, value);
  }

  async synced(signal: AbortSignal): Promise<void> {
    if (this.#isSynced) return;
    const aborted = Promise.withResolvers<never>();
    const onAbort = (): void => {
      aborted.reject(new StatusError('Timeout', `${this.#config.resource} was not listed before the wait ended`, { cause: signal.reason }));
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    try {
      await Promise.race([this.#synced.promise, aborted.promise]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  subscribe(handler: InformerHandler<T>): () => void {
    const entry = { call: handler };
    for (const object of this.#objects.values()) this.#tell(entry.call, object, undefined);
    this.#handlers.add(entry);
    return () => { this.#handlers.delete(entry); };
  }

  addIndexes(indexes: Indexes<T>): void {
    this.#index.add(indexes, this.#objects);
  }

  /** One change; `object` is absent for a delete. An unchanged object is not told. */
  apply(key: string, object: T | undefined): void {
    const old = this.#objects.get(key);
    if (old === object || (old && object && sameVersion(old, object))) return;
    if (object) this.#objects.set(key, object);
    else this.#objects.delete(key);
    this.#index.change(key, old, object);
    for (const handler of this.#handlers) this.#tell(handler.call, object, old);
  }

  /** Makes the copy equal to a full list, telling handlers the difference. */
  replace(objects: ReadonlyMap<string, T>): void {
    for (const key of this.#objects.keys()) if (!objects.has(key)) this.apply(key, undefined);
    for (const [key, object] of objects) this.apply(key, object);
    this.#isSynced = true;
    this.#synced.resolve(undefined);
  }

  #tell(handler: InformerHandler<T>, object: T | undefined, old: T | undefined): void {
    try {
      handler({ object, old });
    } catch (error) {
      const { namespace, name } = (object ?? old)?.metadata ?? {};
      this.#log.error({ resource: this.#config.resource, namespace, name, err: messageOf(error), stack: error instanceof Error ? error.stack : undefined }, 'informer handler failed');
    }
  }
}

function sameVersion(a: KubeObject, b: KubeObject): boolean {
  const [before, after] = [a.metadata, b.metadata];
  return before?.uid === after?.uid && before?.resourceVersion !== undefined && before.resourceVersion === after?.resourceVersion;
}
