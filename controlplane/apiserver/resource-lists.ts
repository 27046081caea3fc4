import { apiVersionOf } from '#api/kinds/resources.ts';
import type { KindDefinition } from '#api/kinds/types.ts';
import { isStatus, StatusError } from '#common/errors.ts';
import { storePrefix } from '#controlplane/store/keys.ts';
import type { Entry, ListResult, Store } from '#controlplane/store/types.ts';
import { badRequest } from './api-errors.ts';
import { continueExpired, decodeContinue, encodeContinue, tooLarge, type ListOptions } from './list-options.ts';
import { Selection } from './selection.ts';
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

export async function listPage(store: Store, kind: KindDefinition, namespace: string | undefined, options: ListOptions): Promise<Page> {
  const selection = new Selection(kind, options);
  const prefix = storePrefix(keptUnder(kind), namespace);
  if (options.continueToken !== undefined && options.resourceVersion) throw badRequest('specifying resource version is not allowed when using continue');
  const start = options.continueToken === undefined ? undefined : decodeContinue(options.continueToken, prefix);
  const revision = start ? start.revision : pinnedRevision(store, options);
  const limit = options.limit !== undefined && options.limit > 0 ? options.limit : undefined;
  try {
    return selection.everything
      ? page(await load(kind, await store.list(request(prefix, revision, start?.after, limit))), false)
      : await listSelected(store, kind, selection, request(prefix, revision, start?.after, limit));
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
async function listSelected(store: Store, kind: KindDefinition, selection: Selection, first: Request): Promise<Page> {
  const entries: Entry[] = [];
  let next: Request = { ...first, limit: pageSize, countRemaining: false };
  for (;;) {
    const result = await load(kind, await store.list(next));
    for (const [i, entry] of result.entries.entries()) {
      if (!selection.matches(entry)) continue;
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

/** `head`, the items with commas between them, `tail`: one piece when small, else pieces that are valid until the next but one is asked for. */
export function joinItems(head: string, items: readonly Uint8Array[], tail: string): Uint8Array | Iterable<Uint8Array> {
  let size = 0;
  for (const item of items) size += item.length;
  if (size >= chunkBytes) return piecesOf(head, items, tail);
  return Buffer.concat([Buffer.from(head), ...items.flatMap((item, i) => (i > 0 ? [comma, item] : [item])), Buffer.from(tail)]);
}

/** As `joinItems`, with items that are made of stored bytes when their turn comes: of a large list but a part is held at a time. */
export function joinMade(head: string, values: readonly Uint8Array[], make: (value: Uint8Array) => Uint8Array, tail: string): Uint8Array | Iterable<Uint8Array> {
  let size = 0;
  for (const value of values) size += value.length;
  return size >= chunkBytes ? piecesOf(head, made(values, make), tail) : joinItems(head, values.map(make), tail);
}

function* made(values: readonly Uint8Array[], make: (value: Uint8Array) => Uint8Array): Iterable<Uint8Array> {
  for (const value of values) yield make(value);
}

/** Pieces that a socket likes, by turns in two buffers: a large list would else be held twice while it is sent. */
function* piecesOf(head: string, items: Iterable<Uint8Array>, tail: string): Iterable<Uint8Array> {
  const room = chunkBytes + Buffer.byteLength(head) + Buffer.byteLength(tail);
  let [buffer, other] = [Buffer.allocUnsafeSlow(room), Buffer.allocUnsafeSlow(room)];
  let used = buffer.write(head);
  for (const item of items) {
    const { length } = item;
    if (used + length >= chunkBytes && used > 0) {
      yield buffer.subarray(0, used);
      [buffer, other, used] = [other, buffer, 0];
    }
    if (length >= chunkBytes) {
      yield item;
    } else {
      buffer.set(item, used);
      used += length;
    }
    buffer[used++] = 0x2c;
  }
  // Over the last comma.
  used += buffer.write(tail, used - 1) - 1;
  yield buffer.subarray(0, used);
}
