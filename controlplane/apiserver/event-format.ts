import type { KindDefinition } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { renderTable, type IncludeObject } from '#api/meta/table.ts';
import type { Clock } from '#common/clock.ts';
import { parseBytes, toBytes } from './encoding.ts';

/** How one object is written for a client: as stored, as its metadata only, or as a row of a table. */
export interface EventFormat {
  /** Same name, same bytes for the same object: keys the cache of encodings. */
  readonly name: string;
  encode(bytes: Uint8Array): Uint8Array;
  bookmark(object: KubeObject): unknown;
}

export const asStored: EventFormat = {
  name: 'json',
  encode: (bytes) => bytes,
  bookmark: (object) => object,
};

export const asMetadata: EventFormat = {
  name: 'metadata',
  encode: (bytes) => toBytes(partialMetadata(parseBytes(bytes))),
  bookmark: partialMetadata,
};

export function partialMetadata(object: KubeObject): KubeObject {
  return { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata };
}

export function asTable(kind: KindDefinition, clock: Clock, includeObject: IncludeObject): EventFormat {
  const table = (object: KubeObject): unknown => ({ ...renderTable(kind, [object], clock.now(), { includeObject }), metadata: { resourceVersion: object.metadata?.resourceVersion ?? '' } });
  return {
    name: `table-${includeObject}`,
    encode: (bytes) => toBytes(table(parseBytes(bytes))),
    // A bookmark's row would print as an object without a name.
    bookmark: (object) => ({ ...renderTable(kind, [], clock.now(), { includeObject }), metadata: { resourceVersion: object.metadata?.resourceVersion ?? '' }, rows: [{ cells: [], object }] }),
  };
}
