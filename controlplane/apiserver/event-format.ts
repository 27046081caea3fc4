import type { KindDefinition } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import { renderTable, type MetaVersion, type Table, type TableOptions } from '#api/meta/table.ts';
import type { Clock } from '#common/clock.ts';
import { parseBytes, toBytes } from './encoding.ts';

/** How one object is written for a client: as stored, as its metadata only, or as a row of a table. */
export interface EventFormat {
  /** Same name, same bytes for the same object: keys the cache of encodings. */
  readonly name: string;
  encode(bytes: Uint8Array): Uint8Array;
  bookmark(object: KubeObject): unknown;
  /** How the events after the first of a stream are written. */
  readonly later: EventFormat;
}

export const asStored: EventFormat = {
  name: 'json',
  encode: (bytes) => bytes,
  bookmark: (object) => object,
  get later() { return asStored; },
};

export function partialMetadata(object: KubeObject, apiVersion: MetaVersion = 'meta.k8s.io/v1'): KubeObject {
  return { kind: 'PartialObjectMetadata', apiVersion, metadata: object.metadata };
}

export function asMetadata(apiVersion: MetaVersion): EventFormat {
  const format: EventFormat = {
    name: apiVersion,
    encode: (bytes) => toBytes(partialMetadata(parseBytes(bytes), apiVersion)),
    bookmark: (object) => partialMetadata(object, apiVersion),
    get later() { return format; },
  };
  return format;
}

/** Only the first event of a stream describes the columns. */
export function asTable(kind: KindDefinition, clock: Clock, options: TableOptions): EventFormat {
  const of = (object: KubeObject, rows: readonly KubeObject[], withColumns: boolean): Table => {
    const { columnDefinitions, ...table } = renderTable(kind, rows, clock.now(), options);
    return { ...table, ...(withColumns && { columnDefinitions }), metadata: { resourceVersion: object.metadata?.resourceVersion ?? '' } } as Table;
  };
  const format = (withColumns: boolean): EventFormat => ({
    name: `table-${options.apiVersion ?? ''}-${options.includeObject ?? ''}-${String(withColumns)}`,
    encode: (bytes) => { const object = parseBytes(bytes); return toBytes(of(object, [object], withColumns)); },
    // A bookmark's row would print as an object without a name.
    bookmark: (object) => ({ ...of(object, [], withColumns), rows: [{ cells: [], object }] }),
    get later() { return later; },
  });
  const later = format(false);
  return format(true);
}
