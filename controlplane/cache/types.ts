import type { KubeObject } from '#api/meta/object.ts';

/** Read access to a shared, frozen, always current copy of one resource. Never change what it returns. */
export interface Lister<T extends KubeObject> {
  get(namespace: string | undefined, name: string): T | undefined;
  list(namespace?: string): readonly T[];
  /** Objects whose index function yielded `value`; the index was named when the informer was made. */
  by(index: string, value: string): readonly T[];
}

export interface InformerHandler<T extends KubeObject> {
  /** `old` is absent for an add, `object` for a delete. Synchronous; must only note work, never do it. */
  (change: { readonly object: T | undefined; readonly old: T | undefined }): void;
}

export interface Informer<T extends KubeObject> extends Lister<T> {
  /** Resolves when the first full list is in; rejects when the signal aborts before. */
  synced(signal: AbortSignal): Promise<void>;
  /** The handler is first called for every object present. Returns how to unsubscribe. */
  subscribe(handler: InformerHandler<T>): () => void;
}

/** Index functions by name: the values under which an object is found. */
export type Indexes<T extends KubeObject> = Readonly<Record<string, (object: T) => readonly string[]>>;
