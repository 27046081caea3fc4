import type { KubeObject } from '#api/meta/object.ts';

/**
 * Parses each stored value once. Objects are found by the identity of their bytes (the store hands the same
 * Uint8Array to every reader of a revision) and live as long as somebody holds them. They are deeply frozen.
 */
export class SharedObjects {
  readonly #byBytes = new WeakMap<Uint8Array, WeakRef<KubeObject>>();

  /** Throws SyntaxError when the bytes are not JSON. */
  parse<T extends KubeObject>(value: Uint8Array): T {
    const known = this.#byBytes.get(value)?.deref();
    if (known) return known as T;
    const text = Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8');
    const object = deepFreeze(JSON.parse(text) as T);
    this.#byBytes.set(value, new WeakRef(object));
    return object;
  }
}

/** Freezes plain JSON in place and returns it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  Object.freeze(value);
  for (const child of Object.values(value)) deepFreeze(child);
  return value;
}
