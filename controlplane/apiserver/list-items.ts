import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { MetaVersion, TableOptions } from '#api/meta/table.ts';
import type { Entry } from '#controlplane/store/types.ts';
import { parseBytes } from './encoding.ts';
import { noteOf, type EntryNote, type KnownObjects } from './entry-note.ts';
import type { Item, Slice } from './resource-lists.ts';

/** Rows of a Table, made of stored entries one by one. */
export function tableRows(kind: KindDefinition, nowMs: number, options: TableOptions, known: KnownObjects | undefined): (entry: Entry) => Item {
  const { includeObject = 'Metadata', apiVersion } = options;
  const changing = kind.columns.filter(changesWithTime);
  const metadata = metadataOf(kind);
  const head = `,"object":${metadataHead(apiVersion)}`;
  return (entry) => {
    const note = noteOf(entry, known);
    const object = note?.object ?? parseBytes(entry.value);
    const texts = note?.cells?.kind === kind ? note.cells.texts : cellTexts(kind, object);
    if (note && note.cells?.texts !== texts) note.cells = { kind, texts };
    let row = texts[0] ?? '';
    for (const [i, column] of changing.entries()) row += JSON.stringify(column.value(object, nowMs)) + (texts[i + 1] ?? '');
    switch (includeObject) {
      case 'None': return [`${row}}`];
      case 'Object': return [`${row},"object":`, entry.value, '}'];
      case 'Metadata': return [row + head, metadata(entry, object, note), '}}'];
    }
  };
}

/** `{"cells":[…]`, cut where cells belong that change with time. */
function cellTexts(kind: KindDefinition, object: KubeObject): readonly string[] {
  const texts: string[] = [];
  let text = '{"cells":[';
  for (const [i, column] of kind.columns.entries()) {
    if (i > 0) text += ',';
    if (changesWithTime(column)) {
      texts.push(text);
      text = '';
    } else {
      text += JSON.stringify(column.value(object, 0));
    }
  }
  return [...texts, `${text}]`];
}

function changesWithTime({ value }: KindDefinition['columns'][number]): boolean {
  return value.length > 1;
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
