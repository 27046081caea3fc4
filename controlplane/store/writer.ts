import { setImmediate as turn } from 'node:timers/promises';
import type { Clock } from '#common/clock.ts';
import { StatusError, toStatus } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { Disk, type DiskConfig } from './disk.ts';
import { encodeMeta, encodeRow, metaName, rowName, type Meta } from './row-format.ts';
import type { State } from './state.ts';
import type { Entry, RowStore, RowWrite, StoreEvent, WriteRequest } from './types.ts';
import { newVersion, type Version } from './versions.ts';

export interface WriterConfig extends DiskConfig {
  /** Writes that may wait. */
  readonly maxQueued: number;
  /** A batch is closed when it holds this many writes or bytes. */
  readonly maxBatch: number;
  readonly maxBatchBytes: number;
  /** Live bytes of all volatile keys together; their history may hold as much again. */
  readonly maxVolatileBytes: number;
  /** Revisions reserved on disk at once for volatile keys. */
  readonly reserve: number;
}

export interface WriterDeps {
  readonly rows: RowStore;
  readonly state: State;
  readonly log: Log;
  readonly clock: Clock;
  /** The bytes of versions, from disk where memory has let them go. */
  readonly load: (versions: readonly Version[]) => Promise<readonly Entry[]>;
  /** Called after the state has changed, with the new events in order. */
  readonly publish: (events: readonly StoreEvent[]) => void;
}

interface Waiting {
  readonly request: WriteRequest;
  readonly resolve: (entry: Entry) => void;
  readonly reject: (error: unknown) => void;
}

interface Planned {
  readonly version: Version;
  readonly entry: Entry;
  readonly waiting: Waiting;
}

interface Batch {
  readonly planned: Planned[];
  readonly rows: RowWrite[];
  /** Newest version of the keys that this batch writes. */
  readonly overlay: Map<string, Version>;
  /** Refused because of what this batch writes: told when readers can see it too. */
  readonly losers: { readonly waiting: Waiting; readonly error: unknown }[];
  meta: Meta;
  bytes: number;
  volatileGrowth: number;
  /** Why nothing can be written now. */
  readonly refused: StatusError | undefined;
}

/**
 * The only place that changes the store. One loop takes what waits, decides it in order, puts all of it on
 * disk in one synced batch, then lets readers, watchers and writers see it: group commit.
 */
export class Writer {
  readonly #deps: WriterDeps;
  readonly #config: WriterConfig;
  readonly #disk: Disk;
  #next: number;
  #queue: Waiting[] = [];
  #chores: (() => Promise<void>)[] = [];
  #running = false;
  #loop: Promise<void> | undefined;
  #closed = false;

  constructor(deps: WriterDeps, config: WriterConfig, meta: Meta) {
    this.#deps = deps;
    this.#config = config;
    this.#disk = new Disk({ ...deps, due: () => { this.#tryAgain(); } }, config, meta);
    this.#next = deps.state.revision + 1;
    if (deps.rows.refresh) {
      this.#chores.push(() => this.#disk.refresh());
      this.#wake();
    }
  }

  write(request: WriteRequest): Promise<Entry> {
    if (this.#closed) return Promise.reject(new StatusError('ServiceUnavailable', 'the store is closed'));
    if (this.#queue.length >= this.#config.maxQueued) {
      return Promise.reject(new StatusError('TooManyRequests', `${String(this.#queue.length)} writes wait for the disk; try again later`, { retryAfterMs: 1000 }));
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, resolve, reject });
      this.#wake();
    });
  }

  /** Forgets history up to `revision`, in steps between batches. Writes nothing when no row falls away. */
  compact(revision: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#chores.push(async () => {
        try {
          const to = Math.min(revision, this.#deps.state.revision);
          while (this.#deps.state.compacted < to) await this.#compactStep(to);
          resolve();
        } catch (error) {
          reject(toStatus(error, 'ServiceUnavailable'));
        }
      });
      this.#wake();
    });
  }

  /** Why the disk takes no writes; undefined while it does. */
  get problem(): StatusError | undefined { return this.#disk.problem; }

  /** Resolves when everything that was waiting is done. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#disk.close();
    await this.#loop;
  }

  #tryAgain(): void {
    this.#chores.push(async () => { await this.#disk.recover(); });
    this.#wake();
  }

  #wake(): void {
    if (this.#running) return;
    this.#running = true;
    this.#loop = this.#run();
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0 || this.#chores.length > 0) {
      await turn();
      for (const chore of this.#chores.splice(0)) await chore();
      const taken = this.#queue.splice(0, this.#config.maxBatch);
      if (taken.length > 0) await this.#commit(taken);
    }
    this.#running = false;
  }

  async #commit(taken: readonly Waiting[]): Promise<void> {
    const refused = await this.#disk.recover();
    const batch: Batch = { planned: [], rows: [], overlay: new Map(), losers: [], meta: this.#disk.meta, bytes: 0, volatileGrowth: 0, refused };
    try {
      await this.#decide(taken, batch);
      if (this.#reserve(batch)) {
        if (refused) throw refused;
        await this.#disk.commit(batch.rows, batch.meta);
      }
      this.#succeed(batch.planned);
      for (const { waiting, error } of batch.losers) waiting.reject(error);
    } catch (error) {
      this.#fail(batch, error);
    }
  }

  /** Checks and encodes each request; what does not fit goes back to the head of the queue. */
  async #decide(taken: readonly Waiting[], batch: Batch): Promise<void> {
    const { state, load } = this.#deps;
    const evicted = taken.flatMap(({ request }) => {
      const latest = state.latest(request.key);
      return latest && !latest.deleted && !latest.entry ? [latest] : [];
    });
    // All at once; one that cannot be read fails its own write below.
    if (evicted.length > 0) await load([...new Set(evicted)]).catch(() => undefined);
    for (const [i, waiting] of taken.entries()) {
      if (batch.bytes >= this.#config.maxBatchBytes) {
        this.#queue.unshift(...taken.slice(i));
        return;
      }
      try {
        await this.#decideOne(waiting, batch);
      } catch (error) {
        if (batch.overlay.has(waiting.request.key)) batch.losers.push({ waiting, error });
        else waiting.reject(error);
      }
    }
  }

  async #decideOne(waiting: Waiting, batch: Batch): Promise<void> {
    const { request } = waiting;
    const latest = batch.overlay.get(request.key) ?? this.#deps.state.latest(request.key);
    const current = latest?.deleted ? undefined : latest;
    meets(request, current);
    const previous = current && (current.entry ?? (await this.#deps.load([current]))[0]);
    const revision = this.#next;
    const deleted = request.type === 'delete';
    const createRevision = current?.createRevision ?? revision;
    const durable = !this.#deps.state.isVolatile(request.key);
    if (durable && batch.refused) throw batch.refused;
    const encoded = request.encode(revision);
    const count = batch.meta.count + (deleted ? 0 : 1) - (current ? 1 : 0);
    const sumBefore = (batch.meta.sum - (current?.crc ?? 0)) >>> 0;
    const row = durable ? encodeRow({ revision, deleted, key: request.key, createRevision, chain: batch.meta.head, count, value: encoded }, sumBefore) : undefined;
    // Kept for long: a view of Node's pool of small buffers would hold 64 KB.
    const value = row?.value ?? new Uint8Array(encoded);
    if (!durable) this.#growVolatile(batch, (deleted ? 0 : value.byteLength) - (previous?.value.byteLength ?? 0));
    this.#next++;
    const entry: Entry = { key: request.key, value, createRevision, modRevision: revision, note: undefined };
    const version = newVersion({ createRevision, deleted, durable, crc: row?.crc ?? 0 }, entry, latest);
    version.event = { type: request.type, key: request.key, revision, createRevision, value, previous: previous?.value };
    batch.overlay.set(request.key, version);
    batch.planned.push({ version, entry, waiting });
    if (!row) return;
    batch.rows.push({ name: rowName(revision), bytes: row.bytes });
    batch.bytes += row.bytes.byteLength;
    batch.meta = { ...batch.meta, head: revision, count, sum: row.sum };
  }

  #growVolatile(batch: Batch, growth: number): void {
    const after = this.#deps.state.volatileBytes + batch.volatileGrowth + growth;
    if (growth > 0 && after > this.#config.maxVolatileBytes) {
      throw new StatusError('TooManyRequests', `keys that live in memory hold ${String(after - growth)} of ${String(this.#config.maxVolatileBytes)} bytes; delete some`, { retryAfterMs: 10_000 });
    }
    batch.volatileGrowth += growth;
  }

  /** Reserves revisions that volatile writes are about to use up. True when the batch has to go to disk. */
  #reserve(batch: Batch): boolean {
    const newest = batch.planned.findLast((p) => !p.version.durable)?.version.revision ?? 0;
    if (newest > batch.meta.reserved) {
      batch.meta = { ...batch.meta, reserved: newest + this.#config.reserve };
      batch.rows.push({ name: metaName, bytes: encodeMeta(batch.meta) });
    }
    return batch.rows.length > 0;
  }

  #succeed(planned: readonly Planned[]): void {
    const events: StoreEvent[] = [];
    for (const { version } of planned) {
      if (version.event) events.push(version.event);
      this.#deps.state.append(version);
    }
    if (events.length > 0) this.#deps.publish(events);
    for (const { waiting, entry } of planned) waiting.resolve(entry);
  }

  /** Durable writes are refused. Volatile ones do not need the disk, unless it was asked for revisions. */
  #fail(batch: Batch, error: unknown): void {
    const survives = ({ version }: Planned): boolean => !version.durable && version.revision <= this.#disk.meta.reserved;
    this.#succeed(batch.planned.filter(survives));
    const status = toStatus(error, 'ServiceUnavailable');
    for (const planned of batch.planned) if (!survives(planned)) planned.waiting.reject(status);
    for (const { waiting } of batch.losers) waiting.reject(status);
  }

  async #compactStep(to: number): Promise<void> {
    const plan = this.#deps.state.planCompaction(to, 5000);
    const gone = plan.removed.filter((version) => version.durable).map((version) => rowName(version.revision));
    await this.#disk.forget(gone, { compacted: plan.revision, anchor: plan.anchor || this.#disk.meta.anchor });
    // Whether or not the disk took it: rows that may be gone must not be read.
    this.#deps.state.applyCompaction(plan);
  }
}

function meets(request: WriteRequest, current: Version | undefined): void {
  const { key, expect, type } = request;
  if (expect === 'absent' && current) throw new StatusError('AlreadyExists', `${key} already exists`);
  if ((typeof expect === 'number' || type === 'delete') && !current) throw new StatusError('NotFound', `${key} does not exist`);
  if (typeof expect === 'number' && current && current.revision !== expect) {
    throw new StatusError('Conflict', `${key} is at revision ${String(current.revision)}, not ${String(expect)}: read it again and retry`);
  }
}
