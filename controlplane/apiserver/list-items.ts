import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition, TableColumn } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { MetaVersion, TableOptions } from '#api/meta/table.ts';
import type { Entry } from '#controlplane/store/types.ts';
import { parseBytes } from './encoding.ts';
import { noteOf, type EntryNote, type KnownCells, type KnownObjects } from './entry-note.ts';
import type { Item, Slice } from './resource-lists.ts';

/** Rows of a Table, made of stored entries one by one. */
export function tableRows(kind: KindDefinition, nowMs: number, options: TableOptions, known: KnownObjects | undefined): (entry: Entry) => Item {
  const { includeObject = 'Metadata', apiVersion } = options;
  const metadata = metadataOf(kind);
  const head = `,"object":${metadataHead(apiVersion)}`;
  let last: readonly TableColumn[] = [];
  /** Columns of a row that change with time are those of the one before, most often. */
  const cellsOf = (note: EntryNote): string => {
    const cells = note.cells?.kind === kind ? note.cells : note.cells = splitCells(kind, note.object, last);
    last = cells.changing;
    return joinCells(cells, note.object, nowMs);
  };
  return (entry) => {
    const note = noteOf(entry, known);
    const object = note?.object ?? parseBytes(entry.value);
    const row = note ? cellsOf(note) : `{"cells":${JSON.stringify(kind.columns.map((column) => column.value(object, nowMs)))}`;
    switch (includeObject) {
      case 'None': return [`${row}}`];
      case 'Object': return [`${row},"object":`, entry.value, '}'];
      case 'Metadata': return [row + head, metadata(entry, object, note), '}}'];
    }
  };
}

/** Two moments at which no age is the same. */
const long = [Date.UTC(1970, 0, 1), Date.UTC(2200, 0, 1)] as const;

/** `{"cells":[…]`, cut where cells belong that change with time. `likely` is used again where it is right: there are many rows. */
function splitCells(kind: KindDefinition, object: KubeObject, likely: readonly TableColumn[]): KnownCells {
  const texts: string[] = [];
  const changing: TableColumn[] = [];
  let text = '{"cells":[';
  for (const [i, column] of kind.columns.entries()) {
    if (i > 0) text += ',';
    const value = column.value(object, long[0]);
    if (value === column.value(object, long[1])) {
      text += JSON.stringify(value);
      continue;
    }
    texts.push(text);
    changing.push(column);
    text = '';
  }
  const same = changing.length === likely.length && changing.every((column, i) => column === likely[i]);
  return { kind, texts: [...texts, `${text}]`], changing: same ? likely : changing };
}

function joinCells({ texts, changing }: KnownCells, object: KubeObject, nowMs: number): string {
  let row = texts[0] ?? '';
  for (let i = 0; i < changing.length; i++) row += JSON.stringify(changing[i]?.value(object, nowMs)) + (texts[i + 1] ?? '');
  return row;
}

/** PartialObjectMetadata of stored entries, one by one. */
export function metadataItems(kind: KindDefinition, apiVersion?: MetaVersion, known?: KnownObjects): (entry: Entry) => Item {
  const head = metadataHead(apiVersion);
  const metadata = metadataOf(kind);
  return (entry) => {
    const note = noteOf(entry, known);
    return [head, metadata(entry, note?.object ?? parseBytes(entry.value), note), '}'];
  };
}

function metadataHead(apiVersion: MetaVersion = 'meta.k8s.io/v1'): string {
  return `{"kind":"PartialObjectMetadata","apiVersion":${JSON.stringify(apiVersion)},"metadata":`;
}

/** What may come right after the metadata. None is a field of the metadata, and within it objects are never followed by one of these names. */
const followers: ReadonlyMap<string, Buffer> = new Map(['spec', 'status', 'data'].map((name) => [name, Buffer.from(`},${JSON.stringify(name)}:`)]));

/** The metadata of stored entries: cut out of their bytes, or as text where it cannot be told where that ends without reading all of it. */
function metadataOf(kind: KindDefinition): (entry: Entry, object: KubeObject, note: EntryNote | undefined) => Slice | string {
  const head = Buffer.from(`{"apiVersion":${JSON.stringify(apiVersionOf(kind.resource))},"kind":${JSON.stringify(kind.resource.kind)},"metadata":`);
  return ({ value }, object, note) => {
    const end = note?.metadataEnd ?? endOfMetadata(value, object, head);
    if (note) note.metadataEnd = end;
    return end > 0 ? { of: value, start: head.length, end } : JSON.stringify(object.metadata ?? {});
  };
}

/** 0 where it cannot be told. */
function endOfMetadata(value: Uint8Array, object: KubeObject, head: Buffer): number {
  const [first, second, third, next = ''] = Object.keys(object);
  const follower = followers.get(next);
  if (follower === undefined || first !== 'apiVersion' || second !== 'kind' || third !== 'metadata') return 0;
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  return bytes.compare(head, 0, head.length, 0, head.length) === 0 ? bytes.indexOf(follower, head.length) + 1 : 0;
}
