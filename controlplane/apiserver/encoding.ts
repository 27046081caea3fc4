import type { KubeObject, ObjectMeta } from '#api/meta/object.ts';

/** The object in stored bytes. Each call parses anew: the caller may change what it gets. */
export function parseBytes(bytes: Uint8Array): KubeObject {
  return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')) as KubeObject;
}

export function toBytes(object: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(object));
}

/** The object's metadata, made when absent. */
export function metaOf(object: KubeObject): ObjectMeta {
  object.metadata ??= {};
  return object.metadata;
}

/** An `encode` for the store: the object is serialized once, with its resourceVersion inside. Changes `object`. */
export function encoder(object: KubeObject): (revision: number) => Uint8Array {
  return (revision) => {
    metaOf(object).resourceVersion = String(revision);
    return toBytes(object);
  };
}
