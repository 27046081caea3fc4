import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { Clock } from '#common/clock.ts';
import { StatusError, toStatus } from '#common/errors.ts';
import { storeKey, storePrefix } from '#controlplane/store/keys.ts';
import type { Store, StoreEvent, Watch } from '#controlplane/store/types.ts';
import { metaOf, parseBytes } from './encoding.ts';
import type { ReplyStream } from './http/reply.ts';
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
export async function openWatch(deps: WatchDeps, request: WatchRequest): Promise<ReplyStream> {
  const { store } = deps;
  const { kind, namespace, options } = request;
  const selection = new Selection(kind, options);
  const from = options.resourceVersion;
  if (from !== undefined && from > store.revision) throw tooLarge(from, store.revision);
  const initial = options.sendInitialEvents ?? !from
    ? await listPage(store, kind, namespace, { labelSelector: options.labelSelector, fieldSelector: options.fieldSelector })
    : undefined;
  return new Frames(deps, request, selection, initial, from || store.revision);
}

class Frames implements ReplyStream {
  readonly #deps: WatchDeps;
  readonly #request: WatchRequest;
  readonly #selection: Selection;
  readonly #initial: Page | undefined;
  #format: EventFormat;
  /** The client has what was written up to here. */
  #sent: number;
  #watch: Watch | undefined;

  constructor(deps: WatchDeps, request: WatchRequest, selection: Selection, initial: Page | undefined, from: number) {
    this.#deps = deps;
    this.#request = request;
    this.#selection = selection;
    this.#initial = initial;
    this.#format = request.format;
    this.#sent = initial?.revision ?? from;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    const { kind, options, signal } = this.#request;
    const { store, clock } = this.#deps;
    for (const entry of this.#initial?.entries ?? []) {
      yield frame('ADDED', this.#format.encode(entry.value));
      this.#format = this.#format.later;
    }
    if (this.#initial && options.sendInitialEvents && options.allowBookmarks) yield this.#bookmark(true);
    let seen = this.#sent;
    const watch = this.#watch = store.watch({ prefix: this.#prefix(), after: this.#sent, signal });
    const timers = new WatchTimers(clock, this.#request, () => { watch.wake(); });
    try {
      for await (const batch of watch) {
        if (batch.length === 0) {
          // What was newest one period ago has long been delivered; what is newest now may still be on its way here.
          if (options.allowBookmarks && seen > this.#sent) yield this.#bookmark(false, this.#sent = seen);
          seen = store.revision;
          if (timers.over) return;
          continue;
        }
        const chunk = this.#chunk(kind.stored ? await loadEvents(kind, batch) : batch);
        if (chunk) yield chunk;
      }
    } catch (error) {
      if (!signal.aborted) yield frame('ERROR', JSON.stringify(failure(expired(error))));
    } finally {
      timers.stop();
    }
  }

  async follow(take: (chunk: Uint8Array) => boolean): Promise<void> {
    // What is stored in another form has to be waited for.
    if (this.#request.kind.stored) return;
    await this.#watch?.follow((batch) => {
      const chunk = this.#chunk(batch);
      return chunk === undefined || take(chunk);
    });
  }

  #chunk(events: readonly StoreEvent[]): Uint8Array | undefined {
    const chunk = chunkOf(events, this.#selection, this.#format);
    if (chunk) this.#format = this.#format.later;
    this.#sent = events.at(-1)?.revision ?? this.#sent;
    return chunk;
  }

  #prefix(): string {
    const { kind, namespace } = this.#request;
    const { name } = this.#selection;
    return name !== undefined && (namespace !== undefined || !kind.resource.namespaced) ? storeKey(keptUnder(kind), namespace, name) : storePrefix(keptUnder(kind), namespace);
  }

  #bookmark(endOfInitial: boolean, revision = this.#sent): Uint8Array {
    return frame('BOOKMARK', JSON.stringify(this.#format.bookmark(bookmarkObject(this.#request.kind, revision, endOfInitial))));
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
