import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { renderRow, type MetaVersion, type TableOptions } from '#api/meta/table.ts';
import type { Entry } from '#controlplane/store/types.ts';
import { parseBytes } from './encoding.ts';
import type { Item, KnownObjects } from './resource-lists.ts';

/** Rows of a Table, made of stored entries one by one. */
export function tableRows(kind: KindDefinition, nowMs: number, options: TableOptions, known: KnownObjects | undefined): (entry: Entry) => Item {
  const { includeObject = 'Metadata', apiVersion } = options;
  const metadata = metadataItems(kind, apiVersion, known);
  return (entry) => {
    const object = known?.(entry.key, entry.modRevision) ?? parseBytes(entry.value);
    const { cells } = renderRow(kind, object, nowMs, { includeObject: 'None' });
    const row = `{"cells":${JSON.stringify(cells)}`;
    switch (includeObject) {
      case 'None': return [`${row}}`];
      case 'Object': return [`${row},"object":`, entry.value, '}'];
      case 'Metadata': return [`${row},"object":`, ...metadata(entry, object), '}'];
    }
  };
}

/** PartialObjectMetadata of stored entries, one by one; `object` is the entry's where it is known. */
export function metadataItems(kind: KindDefinition, apiVersion: MetaVersion = 'meta.k8s.io/v1', known?: KnownObjects): (entry: Entry, object?: KubeObject) => readonly (string | Uint8Array)[] {
  const head = `{"kind":"PartialObjectMetadata","apiVersion":${JSON.stringify(apiVersion)},"metadata":`;
  const storedHead = Buffer.from(`{"apiVersion":${JSON.stringify(apiVersionOf(kind.resource))},"kind":${JSON.stringify(kind.resource.kind)},"metadata":`);
  return (entry, given) => {
    const object = given ?? known?.(entry.key, entry.modRevision) ?? parseBytes(entry.value);
    return [head, metadataIn(entry.value, object, storedHead) ?? JSON.stringify(object.metadata ?? {}), '}'];
  };
}

/** What may come right after the metadata. None is a field of the metadata, and within it objects are never followed by one of these names. */
const followers: ReadonlyMap<string, Buffer> = new Map(['spec', 'status', 'data'].map((name) => [name, Buffer.from(`},${JSON.stringify(name)}:`)]));

/** The metadata as it is written in the stored bytes of `object`; undefined where that cannot be told without reading all of it. */
function metadataIn(value: Uint8Array, object: KubeObject, head: Buffer): Uint8Array | undefined {
  const [first, second, third, next = ''] = Object.keys(object);
  const follower = followers.get(next);
  if (follower === undefined || first !== 'apiVersion' || second !== 'kind' || third !== 'metadata') return undefined;
  const bytes = value instanceof Buffer ? value : Buffer.from(value.buffer, value.byteOffset, value.length);
  if (bytes.compare(head, 0, head.length, 0, head.length) !== 0) return undefined;
  const end = bytes.indexOf(follower, head.length);
  return end < 0 ? undefined : bytes.subarray(head.length, end + 1);
}
