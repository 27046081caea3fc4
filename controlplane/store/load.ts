import { StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { afterRowNames, decodeMeta, decodeRow, emptyMeta, encodeMeta, firstRowName, metaName, rowName, type DecodedRow, type Meta } from './row-format.ts';
import type { State } from './state.ts';
import type { RowStore, RowWrite } from './types.ts';
import { newVersion } from './versions.ts';

/** What is wrong with the rows. Empty lists mean that everything acknowledged is there. */
export interface Damage {
  /** Revisions that are gone, ends included. */
  readonly missing: { readonly from: number; readonly to: number }[];
  /** Rows whose bytes are not what was written. */
  readonly broken: string[];
  /** Anything else, as a sentence. */
  readonly other: string[];
}

export interface Loaded {
  readonly meta: Meta;
  readonly damage: Damage;
  /** Rows of keys that have since become volatile. */
  readonly volatileRows: number;
}

interface Replay {
  /** Newest durable revision read, and what its row says must be there. */
  head: number;
  expected: { readonly count: number; readonly sum: number } | undefined;
  count: number;
  sum: number;
  volatileRows: number;
}

/** Fills `state` from `rows`, checking every row against its check sum, its predecessor and what it says must be there. */
export async function loadRows(rows: RowStore, state: State): Promise<Loaded> {
  const damage: Damage = { missing: [], broken: [], other: [] };
  const [storedMeta] = await rows.getMany([metaName]);
  const meta = storedMeta ? decodeMeta(storedMeta) : undefined;
  if (storedMeta && !meta) damage.broken.push(metaName);
  const replay = await replayRows(rows, state, meta ?? emptyMeta, damage);
  const note = rows.readHead();
  compare(meta ?? emptyMeta, replay, damage);
  const seen = Math.max(meta?.head ?? 0, replay.head);
  if (note && note.head > seen) damage.missing.push({ from: seen + 1, to: note.head });
  const known = { ...(meta ?? emptyMeta), head: replay.head, count: replay.count, sum: replay.sum, reserved: Math.max(meta?.reserved ?? 0, note?.reserved ?? 0) };
  return { meta: known, damage, volatileRows: replay.volatileRows };
}

/**
 * Makes damaged rows whole again: keeps the newest readable state of every key, gives up history, and says
 * what is lost. Revisions continue after everything that may have been used. Load again afterwards.
 */
export async function recoverRows(rows: RowStore, state: State, log: Log, leap: number): Promise<void> {
  const { meta, damage } = await loadRows(rows, state);
  if (!isDamaged(damage)) return;
  const reserved = Math.max(meta.head, meta.reserved, rows.readHead()?.head ?? 0, ...damage.missing.map(({ to }) => to)) + leap;
  const kept = await keepOnlyLive(rows, state, { ...meta, reserved });
  log.warn({ dir: rows.location, keptKeys: kept, lostRevisions: damage.missing, brokenRows: damage.broken, other: damage.other }, 'store recovered: what is listed is lost, everything else was kept');
}

/**
 * Makes rows of a backup, which have just been written, a store that goes on from it: nothing that a client may have seen
 * after the backup was made is given out again, and whoever knows more than the backup lists anew. Returns how many keys there are.
 */
export async function rebaseRestored(rows: RowStore, state: State, leap: number): Promise<number> {
  const { meta, damage } = await loadRows(rows, state);
  if (isDamaged(damage)) throw damageError(rows.location, damage);
  const reserved = Math.max(meta.head, meta.reserved) + leap;
  return keepOnlyLive(rows, state, { ...meta, reserved }, reserved);
}

/**
 * Removes every row that is not the newest of a durable key, and lets history begin at `compacted`, so that no
 * chain runs through what is removed. Returns how many keys are kept. Load again afterwards.
 */
export async function keepOnlyLive(rows: RowStore, state: State, meta: Meta, compacted = meta.head): Promise<number> {
  const keep = new Set<string>();
  let sum = 0;
  for (const version of state.live('')) {
    if (state.isVolatile(version.key)) continue;
    keep.add(rowName(version.revision));
    sum = (sum + version.crc) >>> 0;
  }
  const remove: RowWrite[] = [];
  for await (const found of rows.scan(firstRowName, afterRowNames)) for (const [name] of found) if (!keep.has(name)) remove.push({ name });
  const rebased = { ...meta, count: keep.size, sum, compacted, anchor: meta.head };
  await rows.write([...remove, { name: metaName, bytes: encodeMeta(rebased) }], true);
  rows.noteHead({ head: rebased.head, reserved: rebased.reserved });
  return keep.size;
}

export function isDamaged(damage: Damage): boolean {
  return damage.missing.length + damage.broken.length + damage.other.length > 0;
}

/** What a person is told who starts Cleat on a damaged store. */
export function damageError(location: string, damage: Damage): StatusError {
  const ranges = damage.missing.slice(0, 10).map(({ from, to }) => (from === to ? String(from) : `${String(from)} to ${String(to)}`));
  const parts = [
    ...(ranges.length > 0 ? [`revisions ${ranges.join(', ')}${damage.missing.length > 10 ? ' and more' : ''} are missing`] : []),
    ...(damage.broken.length > 0 ? [`${String(damage.broken.length)} rows do not match their check sums (${damage.broken.slice(0, 5).join(', ')})`] : []),
    ...damage.other.slice(0, 10),
  ];
  return new StatusError('InternalError', `the store in ${location} is damaged: ${parts.join('; ')}. Nothing was changed. Restore a backup, or start once with --store-recover, which keeps a copy, keeps everything readable and lists what is lost`);
}

async function replayRows(rows: RowStore, state: State, meta: Meta, damage: Damage): Promise<Replay> {
  const replay: Replay = { head: 0, expected: undefined, count: 0, sum: 0, volatileRows: 0 };
  for await (const found of rows.scan(firstRowName, afterRowNames)) {
    for (const [name, bytes] of found) {
      const row = decodeRow(name, bytes);
      if (row) replayRow(row, state, replay, meta, damage);
      else damage.broken.push(name);
    }
  }
  replay.head = Math.max(replay.head, replay.head > meta.compacted ? 0 : meta.anchor);
  return replay;
}

function replayRow(row: DecodedRow, state: State, replay: Replay, meta: Meta, damage: Damage): void {
  const { revision, key, createRevision, deleted, crc, chain } = row;
  const latest = state.latest(key);
  const current = latest?.deleted ? undefined : latest;
  if (revision > meta.compacted) {
    const before = replay.head > meta.compacted ? replay.head : meta.anchor;
    if (chain !== before) damage.missing.push({ from: Math.min(before, chain) + 1, to: Math.max(chain, before) });
    if (createRevision !== revision && !current) damage.other.push(`what ${key} was before revision ${String(revision)} is missing`);
  }
  replay.head = revision;
  if (revision > meta.head) replay.expected = row;
  if (state.isVolatile(key)) replay.volatileRows++;
  state.append(newVersion({ createRevision, deleted, durable: true, crc }, { key, value: row.value, createRevision, modRevision: revision }, latest));
  replay.count += (deleted ? 0 : 1) - (current ? 1 : 0);
  replay.sum = (replay.sum + (deleted ? 0 : crc) - (current?.crc ?? 0)) >>> 0;
}

function compare(meta: Meta, replay: Replay, damage: Damage): void {
  if (replay.head < meta.head) damage.missing.push({ from: replay.head + 1, to: meta.head });
  const expected = replay.expected ?? meta;
  if (replay.count !== expected.count || replay.sum !== expected.sum) {
    damage.other.push(`${String(expected.count)} keys must be there, ${String(replay.count)} are${replay.count === expected.count ? ', and not the same' : ''}`);
  }
}
