import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { storePrefix } from '#controlplane/store/keys.ts';
import type { Entry, ListResult, Store } from '#controlplane/store/types.ts';
import { badRequest } from './api-errors.ts';
import { continueExpired, decodeContinue, encodeContinue, tooLarge, type ListOptions } from './list-options.ts';
import { Selection } from './selection.ts';
import { noteOf, type KnownObjects } from './entry-note.ts';
import { keptUnder, loadEntries } from './stored-form.ts';

/** A list, or one page of it, as stored. */
export interface Page {
  readonly entries: readonly Entry[];
  readonly revision: number;
  readonly continueToken: string | undefined;
  readonly remaining: number | undefined;
}

const pageSize = 500;
/** Lists up to this size go out in one piece. */
const chunkBytes = 256 << 10;

/** `known` spares parsing what selectors look into. */
export async function listPage(store: Store, kind: KindDefinition, namespace: string | undefined, options: ListOptions, known?: KnownObjects): Promise<Page> {
  const selection = new Selection(kind, options);
  const prefix = storePrefix(keptUnder(kind), namespace);
  if (options.continueToken !== undefined && options.resourceVersion) throw badRequest('specifying resource version is not allowed when using continue');
  const start = options.continueToken === undefined ? undefined : decodeContinue(options.continueToken, prefix);
  const revision = start ? start.revision : pinnedRevision(store, options);
  const limit = options.limit !== undefined && options.limit > 0 ? options.limit : undefined;
  try {
    return selection.everything
      ? page(await load(kind, await store.list(request(prefix, revision, start?.after, limit))), false)
      : await listSelected(store, kind, selection, request(prefix, revision, start?.after, limit), known);
  } catch (error) {
    if (!isStatus(error, 'Expired')) throw error;
    throw start ? continueExpired(start, error) : new StatusError('Expired', 'The resourceVersion for the provided list is too old.', { cause: error });
  }
}

type Request = Parameters<Store['list']>[0];

function request(prefix: string, revision: number | undefined, after: string | undefined, limit: number | undefined): Request {
  return { prefix, ...(revision !== undefined && { revision }), ...(after !== undefined && { after }), ...(limit !== undefined && { limit }) };
}

/** The revision that the client insists on, if it does. */
function pinnedRevision(store: Store, options: ListOptions): number | undefined {
  const { resourceVersion, resourceVersionMatch, limit } = options;
  if (!resourceVersion) return undefined;
  if (resourceVersion > store.revision) throw tooLarge(resourceVersion, store.revision);
  return resourceVersionMatch === 'Exact' || (resourceVersionMatch === undefined && limit) ? resourceVersion : undefined;
}

function page(result: ListResult, selected: boolean): Page {
  const last = result.entries.at(-1);
  return {
    entries: result.entries,
    revision: result.revision,
    continueToken: result.more && last ? encodeContinue({ revision: result.revision, after: last.key }) : undefined,
    remaining: result.more && !selected ? result.remaining : undefined,
  };
}

async function load(kind: KindDefinition, result: ListResult): Promise<ListResult> {
  return kind.stored ? { ...result, entries: await loadEntries(kind, result.entries) } : result;
}

/** Reads on, at one revision, until enough entries match. */
async function listSelected(store: Store, kind: KindDefinition, selection: Selection, first: Request, known: KnownObjects | undefined): Promise<Page> {
  const entries: Entry[] = [];
  // What is known need not be read to be passed over.
  const where = (key: string, modRevision: number, entry: Entry | undefined): boolean => {
    if (!selection.matchesKey(key)) return false;
    const note = entry && noteOf(entry, known);
    if (note) return selection.matchesObject(note.object, note.labels);
    const object = known?.(key, modRevision);
    return object === undefined || selection.matchesObject(object);
  };
  let next: Request = { ...first, limit: pageSize, countRemaining: false, where };
  for (;;) {
    const result = await load(kind, await store.list(next));
    for (const [i, entry] of result.entries.entries()) {
      if (!selection.matches(entry, noteOf(entry, known)?.object)) continue;
      entries.push(entry);
      if (entries.length === first.limit) {
        const more = result.more || i < result.entries.length - 1;
        return { entries, revision: result.revision, continueToken: more ? encodeContinue({ revision: result.revision, after: entry.key }) : undefined, remaining: undefined };
      }
    }
    const last = result.entries.at(-1);
    if (!result.more || !last) return { entries, revision: result.revision, continueToken: undefined, remaining: undefined };
    next = { ...next, revision: result.revision, after: last.key };
  }
}

export function listMetadata(page: Page): { resourceVersion: string; continue?: string; remainingItemCount?: number } {
  return {
    resourceVersion: String(page.revision),
    ...(page.continueToken !== undefined && { continue: page.continueToken }),
    ...(page.remaining !== undefined && { remainingItemCount: page.remaining }),
  };
}

/** The list as JSON, made of the stored bytes as they are. */
export function encodeList(kind: KindDefinition, page: Page): Uint8Array | Iterable<Uint8Array> {
  const head = JSON.stringify({ kind: `${kind.resource.kind}List`, apiVersion: apiVersionOf(kind.resource), metadata: listMetadata(page) });
  return joinItems(`${head.slice(0, -1)},"items":[`, page.entries.map((entry) => entry.value), ']}\n');
}

const comma = Buffer.from(',');
/** Takes any bytes, and makes no view of them. */
const copyBytes = Buffer.prototype.copy as (this: Uint8Array, target: Uint8Array, at: number, start: number, end: number) => number;

/** Bytes within others. */
export interface Slice { readonly of: Uint8Array; readonly start: number; readonly end: number }
/** Part of a list: bytes, or text and bytes that follow each other. */
export type Item = Uint8Array | readonly (string | Uint8Array | Slice)[];

/** `head`, the items with commas between them, `tail`: one piece when small, else pieces that are valid until the next but one is asked for. */
export function joinItems(head: string, items: readonly Uint8Array[], tail: string): Uint8Array | Iterable<Uint8Array> {
  let size = 0;
  for (const item of items) size += item.length;
  if (size >= chunkBytes) return piecesOf(head, items, tail);
  return Buffer.concat([Buffer.from(head), ...items.flatMap((item, i) => (i > 0 ? [comma, item] : [item])), Buffer.from(tail)]);
}

/** As `joinItems`, with items that are made of stored entries when their turn comes: of a large list but a part is held at a time. */
export function joinMade(head: string, entries: readonly Entry[], make: (entry: Entry) => Item, tail: string): Uint8Array | Iterable<Uint8Array> {
  let size = 0;
  for (const { value } of entries) size += value.length;
  return size >= chunkBytes ? piecesOf(head, made(entries, make), tail) : joinItems(head, entries.map((entry) => bytesOf(make(entry))), tail);
}

function* made(entries: readonly Entry[], make: (entry: Entry) => Item): Iterable<Item> {
  for (const entry of entries) yield make(entry);
}

/** Pieces that a socket likes, by turns in two buffers: a large list would else be held twice while it is sent. */
function* piecesOf(head: string, items: Iterable<Item>, tail: string): Iterable<Uint8Array> {
  const room = chunkBytes + Buffer.byteLength(head) + Buffer.byteLength(tail);
  let [buffer, other] = [Buffer.allocUnsafeSlow(room), Buffer.allocUnsafeSlow(room)];
  let used = buffer.write(head);
  for (const item of items) {
    const size = mostBytes(item);
    if (used + size >= chunkBytes && used > 0) {
      yield buffer.subarray(0, used);
      [buffer, other, used] = [other, buffer, 0];
    }
    if (size >= chunkBytes) yield bytesOf(item);
    else used = writeItem(buffer, item, used);
    buffer[used++] = 0x2c;
  }
  // Over the last comma.
  used += buffer.write(tail, used - 1) - 1;
  yield buffer.subarray(0, used);
}

/** The bytes of an item, or more: a character has three at most. */
function mostBytes(item: Item): number {
  if (item instanceof Uint8Array) return item.length;
  let size = 0;
  for (const part of item) size += typeof part === 'string' ? 3 * part.length : 'of' in part ? part.end - part.start : part.length;
  return size;
}

/** Up to here a call out of JavaScript costs more than the characters. */
const shortText = 4;

function writeShort(buffer: Buffer, text: string, at: number): number {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 0x7f) return buffer.write(text, at);
    buffer[at + i] = code;
  }
  return text.length;
}

function writeItem(buffer: Buffer, item: Item, at: number): number {
  if (item instanceof Uint8Array) {
    buffer.set(item, at);
    return at + item.length;
  }
  let used = at;
  for (const part of item) {
    if (typeof part === 'string') {
      used += part.length <= shortText ? writeShort(buffer, part, used) : buffer.write(part, used);
    } else if ('of' in part) {
      used += copyBytes.call(part.of, buffer, used, part.start, part.end);
    } else {
      buffer.set(part, used);
      used += part.length;
    }
  }
  return used;
}

export function bytesOf(item: Item): Uint8Array {
  if (item instanceof Uint8Array) return item;
  const buffer = Buffer.allocUnsafe(mostBytes(item));
  return buffer.subarray(0, writeItem(buffer, item, 0));
}
