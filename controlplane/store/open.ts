import type { Clock } from '#common/clock.ts';
import { systemClock } from '#common/clock.ts';
import { isStatus } from '#common/errors.ts';
import { silentLog, type Log } from '#common/log.ts';
import { damageError, isDamaged, keepOnlyLive, loadRows, recoverRows } from './load.ts';
import { MvccStore, type MvccConfig } from './mvcc.ts';
import type { Meta } from './row-format.ts';
import { SealedRows, type SealingConfig } from './sealed-rows.ts';
import { State, type StateConfig } from './state.ts';
import type { RowStore, Store } from './types.ts';

export interface OpenStoreDeps {
  readonly log: Log;
  readonly clock: Clock;
  /** Opens the rows; LevelDB in `config.dir` when absent. */
  readonly openRows?: OpenRows;
  /** What to encrypt on disk. Asked once the folder is locked: it may make the keys. */
  readonly sealing?: () => Promise<SealingConfig>;
}

export interface OpenRowsRequest {
  readonly dir: string;
  readonly log: Log;
  /** Repair what can be repaired, keeping a copy of everything first. */
  readonly recover: boolean;
}

export type OpenRows = (request: OpenRowsRequest) => Promise<RowStore>;

/** Everything but `dir` has a default, meant for a small machine. */
export interface OpenStoreConfig extends Partial<MvccConfig>, Partial<StateConfig> {
  readonly dir: string;
  /** Repairs a damaged store (`--store-recover`); an undamaged one is left as it is. */
  readonly recover?: boolean;
}

export const storeDefaults: MvccConfig & StateConfig = {
  volatilePrefixes: [],
  cacheBytes: 32 << 20,
  eventBytes: 8 << 20,
  keepMs: 5 * 60_000,
  keepRevisions: 10_000,
  maxQueued: 10_000,
  maxBatch: 256,
  maxBatchBytes: 4 << 20,
  maxVolatileBytes: 32 << 20,
  reserve: 100_000,
  reopenMs: 1000,
};

/**
 * Opens the store, checking every row. Rejects with a message that says what to do: `InternalError` when it
 * is damaged, `ServiceUnavailable` when another process has it, `Forbidden` when it may not be read.
 */
export async function openStore(deps: OpenStoreDeps, config: OpenStoreConfig): Promise<Store> {
  if (config.recover) {
    const sound = await openSound(deps, config);
    if (sound) return sound;
  }
  const settings = { ...storeDefaults, ...config };
  const openRows = deps.openRows ?? (await import('./backends/leveldb/backend.ts')).openLevelRows;
  const plain = await openRows({ dir: config.dir, log: deps.log, recover: config.recover ?? false });
  try {
    const rows = deps.sealing ? new SealedRows(plain, await deps.sealing()) : plain;
    if (config.recover) await recoverRows(rows, new State(settings), deps.log, settings.reserve);
    const { state, meta } = await load(rows, settings);
    // One more than any revision used, so that what readers knew of volatile keys is told apart from now.
    const newest = Math.max(meta.head, meta.reserved);
    state.startAt(newest === 0 ? 0 : newest + 1, meta.compacted);
    return new MvccStore({ ...deps, rows, state, meta }, settings);
  } catch (error) {
    await plain.close();
    throw error;
  }
}

/** The store when it is not damaged: a recovery asked for then must not copy or change anything. */
async function openSound(deps: OpenStoreDeps, config: OpenStoreConfig): Promise<Store | undefined> {
  try {
    const store = await openStore(deps, { ...config, recover: false });
    deps.log.info({ dir: config.dir }, 'store is not damaged: nothing to recover');
    return store;
  } catch (error) {
    if (isStatus(error, 'InternalError')) return undefined;
    throw error;
  }
}

async function load(rows: RowStore, settings: StateConfig): Promise<{ readonly state: State; readonly meta: Meta }> {
  const state = new State(settings);
  const { meta, damage, volatileRows } = await loadRows(rows, state);
  if (isDamaged(damage)) throw damageError(rows.location, damage);
  if (volatileRows === 0) return { state, meta };
  await keepOnlyLive(rows, state, meta);
  return load(rows, settings);
}

/** A store without a disk, for tests and simulations. */
export async function openMemoryStore(config: Omit<Partial<OpenStoreConfig>, 'dir'> & { readonly clock?: Clock } = {}): Promise<Store> {
  const { MemoryRows } = await import('./backends/memory/backend.ts');
  const rows = new MemoryRows();
  return openStore({ log: silentLog, clock: config.clock ?? systemClock, openRows: () => Promise.resolve(rows) }, { ...config, dir: '' });
}
