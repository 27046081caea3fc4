import { apiVersionOf, type Resource } from '#api/kinds/resources.ts';
import type { KindDefinition, StoredForm } from '#api/kinds/types.ts';
import type { Entry, StoreEvent } from '#controlplane/store/types.ts';
import { parseBytes, toBytes } from './encoding.ts';

type Kind = Pick<KindDefinition, 'resource' | 'stored'>;

/** Where a kind's objects are kept. */
export function keptUnder({ resource, stored }: Kind): Pick<Resource, 'group' | 'plural'> {
  return stored?.resource ?? resource;
}

/** Whether an entry can be served, and an object of `kind` be stored, only by asking somebody outside. */
export function mustAsk(kind: Kind, { value, modRevision }: Entry): boolean {
  return kind.stored?.asks === true && (kind.stored.apiVersion !== apiVersionOf(kind.resource) || !isServed(kind, value, modRevision));
}

/** True when the bytes are what `kind` serves. Objects are written with their apiVersion first, so nothing is parsed to find out. */
function isServed(kind: Kind, bytes: Uint8Array, revision: number): boolean {
  if (!kind.stored) return true;
  if (revision <= kind.stored.since) return false;
  const head = `{"apiVersion":${JSON.stringify(apiVersionOf(kind.resource))}`;
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(head.length, bytes.length)).toString() === head;
}

const loaded = new WeakMap<StoredForm, WeakMap<Uint8Array, Uint8Array>>();

/**
 * Bytes are loaded once for each form, as long as somebody has them. Most turn out to be right as they are, and then
 * nothing more is held.
 */
async function loadBytes(stored: StoredForm, all: readonly Uint8Array[]): Promise<Uint8Array[]> {
  let known = loaded.get(stored);
  if (!known) loaded.set(stored, known = new WeakMap());
  const cache = known;
  const missing = [...new Set(all)].filter((bytes) => !cache.has(bytes));
  const objects = missing.length > 0 ? await stored.load(missing.map(parseBytes)) : [];
  for (const [i, bytes] of missing.entries()) {
    const made = toBytes(objects[i]);
    cache.set(bytes, Buffer.compare(made, bytes) === 0 ? bytes : made);
  }
  return all.map((bytes) => cache.get(bytes) ?? bytes);
}

/** Stored entries as `kind` serves them: the bytes themselves where they are kept so, the others loaded together. */
export async function loadEntries(kind: Kind, entries: readonly Entry[]): Promise<readonly Entry[]> {
  const { stored } = kind;
  const foreign = stored ? entries.filter((entry) => !isServed(kind, entry.value, entry.modRevision)) : [];
  if (!stored || foreign.length === 0) return entries;
  const values = await loadBytes(stored, foreign.map(({ value }) => value));
  const served = new Map(foreign.map((entry, i) => [entry, { ...entry, value: values[i] ?? entry.value }]));
  return entries.map((entry) => served.get(entry) ?? entry);
}

export async function loadEntry(kind: Kind, entry: Entry): Promise<Entry> {
  return (await loadEntries(kind, [entry]))[0] ?? entry;
}

const events = new WeakMap<StoreEvent, Map<StoredForm, Promise<StoreEvent>>>();

/** As `loadEntries`; an event is loaded once for all watchers of a form. */
export function loadEvents(kind: Kind, batch: readonly StoreEvent[]): readonly StoreEvent[] | Promise<readonly StoreEvent[]> {
  const { stored } = kind;
  return stored ? Promise.all(batch.map((event) => loadEvent(kind, stored, event))) : batch;
}

async function loadEvent(kind: Kind, stored: StoredForm, event: StoreEvent): Promise<StoreEvent> {
  const { value, previous, revision, createRevision } = event;
  // When the state before was written cannot be told: it may be as old as the object.
  if (isServed(kind, value, revision) && (previous === undefined || isServed(kind, previous, createRevision))) return event;
  let forms = events.get(event);
  if (!forms) events.set(event, forms = new Map());
  let served = forms.get(stored);
  if (!served) forms.set(stored, served = convertEvent(stored, event));
  return served;
}

async function convertEvent(stored: StoredForm, event: StoreEvent): Promise<StoreEvent> {
  const { value, previous } = event;
  const [now = value, before] = await loadBytes(stored, previous === undefined ? [value] : [value, previous]);
  return { ...event, value: now, previous: before };
}
