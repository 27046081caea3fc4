import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { Clock } from '#common/clock.ts';
import { StatusError, toStatus } from '#common/errors.ts';
import { storeKey, storePrefix } from '#controlplane/store/keys.ts';
import type { Store, StoreEvent } from '#controlplane/store/types.ts';
import { metaOf, parseBytes } from './encoding.ts';
import { failure } from './http/status.ts';
import { tooLarge, type WatchOptions } from './list-options.ts';
import { listPage, type Page } from './resource-lists.ts';
import { Selection } from './selection.ts';
import type { EventFormat } from './event-format.ts';
import { keptUnder, loadEvents } from './stored-form.ts';

export interface WatchDeps {
  readonly store: Store;
  readonly clock: Clock;
}

export interface WatchRequest {
  readonly kind: KindDefinition;
  readonly namespace: string | undefined;
  readonly options: WatchOptions;
  readonly format: EventFormat;
  /** When the stream ends by itself. */
  readonly timeoutMs: number;
  readonly bookmarkMs: number;
  readonly signal: AbortSignal;
}

type EventType = 'ADDED' | 'MODIFIED' | 'DELETED';

/**
 * Watch frames, one JSON document per line. Throws before the first frame only: what goes wrong later
 * is told in an ERROR frame, after which the stream ends.
 */
export async function openWatch(deps: WatchDeps, request: WatchRequest): Promise<AsyncIterable<Uint8Array>> {
  const { store } = deps;
  const { kind, namespace, options } = request;
  const selection = new Selection(kind, options);
  const from = options.resourceVersion;
  if (from !== undefined && from > store.revision) throw tooLarge(from, store.revision);
  const initial = options.sendInitialEvents ?? !from
    ? await listPage(store, kind, namespace, { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector })
    : undefined;
  return frames(deps, request, selection, initial, from || store.revision);
}

async function* frames(deps: WatchDeps, request: WatchRequest, selection: Selection, initial: Page | undefined, from: number): AsyncIterable<Uint8Array> {
  const { kind, namespace, options } = request;
  let { format } = request;
  const bookmark = (revision: number, endOfInitial = false): Uint8Array => frame('BOOKMARK', JSON.stringify(format.bookmark(bookmarkObject(kind, revision, endOfInitial))));
  for (const entry of initial?.entries ?? []) {
    yield frame('ADDED', format.encode(entry.value));
    format = format.later;
  }
  if (initial && options.sendInitialEvents && options.allowBookmarks) yield bookmark(initial.revision, true);
  const name = selection.name;
  const prefix = name !== undefined && (namespace !== undefined || !kind.resource.namespaced) ? storeKey(keptUnder(kind), namespace, name) : storePrefix(keptUnder(kind), namespace);
  let sent = initial?.revision ?? from;
  let seen = sent;
  const batches = deps.store.watch({ prefix, after: sent, signal: request.signal });
  const timers = new WatchTimers(deps.clock, request, () => { batches.wake(); });
  try {
    for await (const batch of batches) {
      if (batch.length === 0) {
        // What was newest one period ago has long been delivered; what is newest now may still be on its way here.
        if (options.allowBookmarks && seen > sent) yield bookmark(sent = seen);
        seen = deps.store.revision;
        if (timers.over) return;
        continue;
      }
      const events = kind.stored ? await loadEvents(kind, batch) : batch;
      const chunk = chunkOf(events, selection, format);
      if (chunk) format = format.later;
      sent = events.at(-1)?.revision ?? sent;
      if (chunk) yield chunk;
    }
  } catch (error) {
    if (!request.signal.aborted) yield frame('ERROR', JSON.stringify(failure(expired(error))));
  } finally {
    timers.stop();
  }
}

function expired(error: unknown): StatusError {
  const status = toStatus(error);
  return status.code === 'Expired' || status.code === 'Gone' ? new StatusError('Expired', `too old resource version: ${status.message}`, { cause: error }) : status;
}

/** Rings when a bookmark is due, if they are allowed, and at the end. */
class WatchTimers {
  /** The time is over. */
  over = false;
  #cancelBookmark: () => void = () => undefined;
  readonly #cancelTimeout: () => void;

  constructor(clock: Clock, { options, bookmarkMs, timeoutMs }: WatchRequest, ring: () => void) {
    const rearm = (): void => { this.#cancelBookmark = clock.after(bookmarkMs, () => { ring(); rearm(); }); };
    if (options.allowBookmarks) rearm();
    this.#cancelTimeout = clock.after(timeoutMs, () => { this.over = true; ring(); });
  }

  stop(): void {
    this.#cancelBookmark();
    this.#cancelTimeout();
  }
}

const chunks = new WeakMap<readonly StoreEvent[], Map<string, Uint8Array | undefined>>();

/** The frames of a batch, joined once for all watchers that are given the same batch and see it the same way. Undefined: nothing for this one. */
function chunkOf(events: readonly StoreEvent[], selection: Selection, format: EventFormat): Uint8Array | undefined {
  const [only] = events;
  if (only && events.length === 1) return eventFrame(only, selection, format);
  const key = `${selection.text}\n${format.name}`;
  let known = chunks.get(events);
  if (!known) chunks.set(events, known = new Map());
  if (known.has(key)) return known.get(key);
  const lines: Uint8Array[] = [];
  let next = format;
  for (const event of events) {
    const line = eventFrame(event, selection, next);
    if (!line) continue;
    lines.push(line);
    next = format.later;
  }
  const chunk = lines.length > 1 ? Buffer.concat(lines) : lines[0];
  known.set(key, chunk);
  return chunk;
}

const variants = new WeakMap<StoreEvent, Map<string, Uint8Array | undefined>>();
const parsed = new WeakMap<StoreEvent, { object?: KubeObject; previous?: KubeObject }>();

/** An event's frame is made once for all watchers that see it the same way. Undefined: not for this one. */
function eventFrame(event: StoreEvent, selection: Selection, format: EventFormat): Uint8Array | undefined {
  if (!selection.matchesKey(event.key)) return undefined;
  const type = selection.byKeyOnly ? plainType(event) : selectedType(event, selection);
  if (type === undefined) return undefined;
  // Leaving the selection is a DELETED with the last state that matched.
  const left = type === 'DELETED' && event.type === 'put';
  const key = `${type}${left ? '-left' : ''}/${format.name}`;
  let known = variants.get(event);
  if (!known) variants.set(event, known = new Map());
  let line = known.get(key);
  if (!line) known.set(key, line = frame(type, format.encode(left ? leftBytes(event) : event.value)));
  return line;
}

function plainType(event: StoreEvent): EventType {
  if (event.type === 'delete') return 'DELETED';
  return event.previous === undefined ? 'ADDED' : 'MODIFIED';
}

function selectedType(event: StoreEvent, selection: Selection): EventType | undefined {
  let objects = parsed.get(event);
  if (!objects) parsed.set(event, objects = {});
  const before = event.previous !== undefined && selection.matchesObject(objects.previous ??= parseBytes(event.previous));
  if (event.type === 'delete') return before ? 'DELETED' : undefined;
  const now = selection.matchesObject(objects.object ??= parseBytes(event.value));
  if (now) return before ? 'MODIFIED' : 'ADDED';
  return before ? 'DELETED' : undefined;
}

function leftBytes(event: StoreEvent): Uint8Array {
  const object = parseBytes(event.previous ?? event.value);
  metaOf(object).resourceVersion = String(event.revision);
  return Buffer.from(JSON.stringify(object));
}

function bookmarkObject(kind: KindDefinition, revision: number, endOfInitial: boolean): KubeObject {
  return {
    kind: kind.resource.kind, apiVersion: apiVersionOf(kind.resource),
    metadata: { resourceVersion: String(revision), ...(endOfInitial && { annotations: { 'k8s.io/initial-events-end': 'true' } }) },
  };
}

function frame(type: EventType | 'BOOKMARK' | 'ERROR', object: Uint8Array | string): Uint8Array {
  return Buffer.concat([Buffer.from(`{"type":"${type}","object":`), typeof object === 'string' ? Buffer.from(object) : object, Buffer.from('}\n')]);
}
