import type { KubeObject } from '#api/meta/object.ts';
import type { Indexes } from './types.ts';

interface Found<T> {
  readonly objects: Map<string, T>;
  /** Made when asked for, dropped at the next change. */
  list: readonly T[] | undefined;
}

/** Objects under the values of named index functions, kept up to date one change at a time. */
export class ObjectIndex<T extends KubeObject> {
  readonly #functions = new Map<string, (object: T) => readonly string[]>();
  readonly #values = new Map<string, Map<string, Found<T>>>();

  /** Indexes with a name already known are left as they are. */
  add(indexes: Indexes<T>, present: Iterable<readonly [string, T]>): void {
    const added = Object.entries(indexes).filter(([name]) => !this.#functions.has(name));
    for (const [name, yields] of added) {
      this.#functions.set(name, yields);
      this.#values.set(name, new Map());
    }
    if (added.length === 0) return;
    for (const [key, object] of present) for (const [name, yields] of added) this.#put(name, yields(object), key, object);
  }

  change(key: string, old: T | undefined, object: T | undefined): void {
    for (const [name, yields] of this.#functions) {
      if (old) this.#drop(name, yields(old), key);
      if (object) this.#put(name, yields(object), key, object);
    }
  }

  by(index: string, value: string): readonly T[] {
    const values = this.#values.get(index);
    if (!values) throw new Error(`no index ${index}: name it when the informer is made`);
    const found = values.get(value);
    if (!found) return [];
    return found.list ??= Object.freeze([...found.objects.values()]);
  }

  #put(name: string, values: readonly string[], key: string, object: T): void {
    const byValue = this.#values.get(name);
    for (const value of values) {
      const found = byValue?.get(value) ?? { objects: new Map<string, T>(), list: undefined };
      found.objects.set(key, object);
      found.list = undefined;
      byValue?.set(value, found);
    }
  }

  #drop(name: string, values: readonly string[], key: string): void {
    const byValue = this.#values.get(name);
    for (const value of values) {
      const found = byValue?.get(value);
      if (!found) continue;
      found.objects.delete(key);
      found.list = undefined;
      if (found.objects.size === 0) byValue?.delete(value);
    }
  }
}
