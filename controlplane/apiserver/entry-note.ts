import type { KindDefinition, TableColumn } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { Entry } from '#controlplane/store/types.ts';

/** The object of one kind at a revision, by its key, frozen, where somebody holds it. */
export type KnownObjects = (key: string, modRevision: number) => KubeObject | undefined;

/**
 * What was found out about a stored entry whose object somebody holds anyway: it is kept with the entry and goes with it,
 * so that the next list neither looks the object up nor makes the same texts again.
 */
export interface EntryNote {
  /** Frozen. */
  readonly object: KubeObject;
  readonly labels: Readonly<Record<string, string>> | undefined;
  /** Where the metadata ends in the bytes; 0 where that cannot be told, undefined while nobody has looked. */
  metadataEnd: number | undefined;
  cells: KnownCells | undefined;
}

/** The cells of a row that do not change with time: the texts before, between and after those of `changing`. */
export interface KnownCells {
  readonly kind: KindDefinition;
  readonly texts: readonly string[];
  readonly changing: readonly TableColumn[];
}

/** Undefined where nobody holds the object. */
export function noteOf(entry: Entry, known: KnownObjects | undefined): EntryNote | undefined {
  if (known === undefined) return undefined;
  if (entry.note !== undefined) return entry.note as EntryNote;
  const object = known(entry.key, entry.modRevision);
  if (object === undefined) return undefined;
  const note: EntryNote = { object, labels: object.metadata?.labels, metadataEnd: undefined, cells: undefined };
  entry.note = note;
  return note;
}
