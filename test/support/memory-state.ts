import type { KubeObject } from '#api/meta/object.ts';
import { keyOf, objectKey } from '#api/meta/object.ts';
import { qualifiedName, type Resource } from '#api/kinds/resources.ts';
import type { DesiredState, StateChange } from '#agent/state/types.ts';

/** A DesiredState without a disk, changed by `apply`. */
export class MemoryState implements DesiredState {
  known = true;
  reliable = true;
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #listeners = new Set<(changes: readonly StateChange[]) => void>();

  get<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): T | undefined {
    return this.#of(resource).get(objectKey(namespace, name)) as T | undefined;
  }

  list<T extends KubeObject>(resource: Resource<T>): readonly T[] {
    return [...this.#of(resource).values()] as T[];
  }

  subscribe(listener: (changes: readonly StateChange[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  apply(changes: readonly StateChange[]): void {
    for (const change of changes) {
      if (change.type === 'set') this.#of(change.resource).set(keyOf(change.object), change.object);
      else this.#of(change.resource).delete(objectKey(change.namespace, change.name));
    }
    for (const listener of this.#listeners) listener(changes);
  }

  set<T extends KubeObject>(resource: Resource<T>, ...objects: readonly T[]): void {
    this.apply(objects.map((object) => ({ type: 'set', resource, object })));
  }

  remove(resource: Resource, namespace: string | undefined, name: string): void {
    this.apply([{ type: 'remove', resource, namespace, name }]);
  }

  #of(resource: Resource): Map<string, KubeObject> {
    const key = qualifiedName(resource);
    const objects = this.#objects.get(key) ?? new Map<string, KubeObject>();
    this.#objects.set(key, objects);
    return objects;
  }
}
