import { apiVersionOf, type Resource } from '#api/kinds/resources.ts';
import type { KindDefinition, StoredForm } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { Entry, StoreEvent } from '#controlplane/store/types.ts';
import { parseBytes, toBytes } from './encoding.ts';

type Kind = Pick<KindDefinition, 'resource' | 'stored'>;

/** Where a kind's objects are kept. */
export function keptUnder({ resource, stored }: Kind): Pick<Resource, 'group' | 'plural'> {
  return stored?.resource ?? resource;
}

/** True when the bytes are what `kind` serves. Objects are written with their apiVersion first, so nothing is parsed to find out. */
function isServed(kind: Kind, bytes: Uint8Array, revision: number): boolean {
  if (!kind.stored) return true;
  if (revision <= kind.stored.since) return false;
  const head = `{"apiVersion":${JSON.stringify(apiVersionOf(kind.resource))}`;
  return Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(head.length, bytes.length)).toString() === head;
}

/** False when an older definition has written it: the next write brings it up to date, also one that changes nothing. */
export function isCurrent({ stored }: Kind, bytes: Uint8Array): boolean {
  return !stored || Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(1024, bytes.length)).toString().startsWith(`{"apiVersion":${JSON.stringify(stored.apiVersion)}`);
}

async function loaded(stored: StoredForm, all: readonly Uint8Array[]): Promise<Uint8Array[]> {
  return (await stored.load(all.map(parseBytes))).map(toBytes);
}

/** Entries as `kind` serves them: the bytes themselves where they are kept so. */
export async function servedEntries(kind: Kind, entries: readonly Entry[]): Promise<readonly Entry[]> {
  const { stored } = kind;
  const foreign = stored ? entries.filter((entry) => !isServed(kind, entry.value, entry.modRevision)) : [];
  if (!stored || foreign.length === 0) return entries;
  const values = await loaded(stored, foreign.map(({ value }) => value));
  const served = new Map(foreign.map((entry, i) => [entry, { ...entry, value: values[i] ?? entry.value }]));
  return entries.map((entry) => served.get(entry) ?? entry);
}

const events = new WeakMap<StoreEvent, Map<StoredForm, Promise<StoreEvent>>>();

/** As `servedEntries`; an event is made once for all watchers of a form. */
export function servedEvents(kind: Kind, batch: readonly StoreEvent[]): readonly StoreEvent[] | Promise<readonly StoreEvent[]> {
  const { stored } = kind;
  return stored ? Promise.all(batch.map((event) => servedEvent(kind, stored, event))) : batch;
}

function servedEvent(kind: Kind, stored: StoredForm, event: StoreEvent): StoreEvent | Promise<StoreEvent> {
  const { value, previous, revision } = event;
  // How old the state before is cannot be told: it counts as old wherever age matters.
  if (isServed(kind, value, revision) && (previous === undefined || isServed(kind, previous, stored.since > 0 ? event.createRevision : revision))) return event;
  let forms = events.get(event);
  if (!forms) events.set(event, forms = new Map());
  let served = forms.get(stored);
  if (!served) forms.set(stored, served = convertEvent(stored, event));
  return served;
}

async function convertEvent(stored: StoredForm, event: StoreEvent): Promise<StoreEvent> {
  const { value, previous } = event;
  const [now = value, before] = await loaded(stored, previous === undefined ? [value] : [value, previous]);
  return { ...event, value: now, previous: before };
}

/** What is written for an object of `kind`. */
export async function toStored({ stored }: Kind, object: KubeObject): Promise<KubeObject> {
  return stored ? stored.save(object) : object;
}
