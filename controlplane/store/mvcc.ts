import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { AutoCompaction, type AutoCompactionConfig } from './auto-compaction.ts';
import { afterMeta, decodeRow, firstRowName, rowName, type Meta } from './row-format.ts';
import type { State } from './state.ts';
import type { Entry, ListRequest, ListResult, RowStore, Store, StoreEvent, Watch, WatchRequest, WriteRequest } from './types.ts';
import type { Version } from './versions.ts';
import { WatchHub } from './watch.ts';
import type { EventPage } from './watcher.ts';
import { Writer, type WriterConfig } from './writer.ts';

export interface MvccDeps {
  readonly rows: RowStore;
  /** As loaded from `rows`, with what they say must be there. */
  readonly state: State;
  readonly meta: Meta;
  readonly log: Log;
  readonly clock: Clock;
}

export interface MvccConfig extends WriterConfig, AutoCompactionConfig {}

/** Values read from disk at once, and events handed to a watcher at once. */
const loadAtOnce = 256;
const eventsAtOnce = 256;

/** The Store over rows: reads from `State`, writes through `Writer`, wakes through `WatchHub`. */
export class MvccStore implements Store {
  readonly #rows: RowStore;
  readonly #state: State;
  readonly #writer: Writer;
  readonly #hub: WatchHub;
  readonly #compaction: AutoCompaction;
  #closing: Promise<void> | undefined;

  constructor(deps: MvccDeps, config: MvccConfig) {
    const { rows, state, log, clock } = deps;
    this.#rows = rows;
    this.#state = state;
    this.#hub = new WatchHub({ clock, revision: () => state.revision, eventsAfter: (prefix, after) => this.#eventsAfter(prefix, after) });
    this.#writer = new Writer({
      rows, state, log, clock,
      load: (versions) => this.#load(versions),
      publish: (events) => { this.#hub.publish(events); this.#compaction.changed(); },
    }, config, deps.meta);
    this.#compaction = new AutoCompaction({ state, clock, log, compact: (revision) => this.#writer.compact(revision) }, config);
    this.#compaction.changed();
  }

  get revision(): number { return this.#state.revision; }
  get compacted(): number { return this.#state.compacted; }
  get writeProblem(): StatusError | undefined { return this.#writer.problem; }

  async get(key: string): Promise<Entry | undefined> {
    const latest = this.#state.latest(key);
    if (!latest || latest.deleted) return undefined;
    return latest.entry ? held(latest, latest.entry) : (await this.#readCurrent(() => {
      const version = this.#state.latest(key);
      return version && !version.deleted ? [version] : [];
    }))[0];
  }

  async list(request: ListRequest): Promise<ListResult> {
    let about = { revision: 0, remaining: 0 };
    const entries = await this.#readCurrent(() => {
      const { versions, ...rest } = this.#state.select(request);
      about = rest;
      return versions;
    });
    return { entries, ...about, more: about.remaining > 0 };
  }

  count(prefix: string): number {
    return this.#state.count(prefix);
  }

  write(request: WriteRequest): Promise<Entry> {
    return this.#writer.write(request);
  }

  watch(request: WatchRequest): Watch {
    return this.#hub.watch(request);
  }

  async compact(revision: number): Promise<void> {
    if (revision > this.revision) throw new StatusError('Invalid', `revision ${String(revision)} lies in the future: the newest is ${String(this.revision)}`);
    await this.#writer.compact(revision);
  }

  snapshot(): AsyncIterable<readonly (readonly [string, Uint8Array])[]> {
    return this.#rows.scan(firstRowName, afterMeta);
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#compaction.stop();
      await this.#writer.close();
      this.#hub.close();
      await this.#rows.close();
    })();
    return this.#closing;
  }

  /** The entries that `choose` names; chosen anew when compaction takes a row away between choosing and reading. */
  async #readCurrent(choose: () => readonly Version[]): Promise<readonly Entry[]> {
    for (let attempt = 1; ; attempt++) {
      const before = this.#state.compacted;
      const versions = choose();
      try {
        return await this.#load(versions);
      } catch (error) {
        if (this.#state.compacted === before || attempt >= 5) throw error;
      }
    }
  }

  /** In the order asked for. What is in memory comes from there; the rest is read, checked and cached. */
  async #load(versions: readonly Version[]): Promise<readonly Entry[]> {
    const entries: Entry[] = [];
    const missing: number[] = [];
    for (const version of versions) {
      if (!version.entry) missing.push(entries.length);
      entries.push(version.entry ? held(version, version.entry) : absent);
    }
    for (let i = 0; i < missing.length; i += loadAtOnce) {
      const positions = missing.slice(i, i + loadAtOnce);
      const wanted = positions.map((position) => versions[position]).filter((version) => version !== undefined);
      const rows = await this.#rows.getMany(wanted.map((version) => rowName(version.revision)));
      for (const [j, version] of wanted.entries()) entries[positions[j] ?? 0] = this.#keep(version, rows[j]);
    }
    return entries;
  }

  #keep(version: Version, stored: Uint8Array | undefined): Entry {
    const name = rowName(version.revision);
    const row = stored && decodeRow(name, stored);
    if (!row || row.key !== version.key) {
      throw new StatusError('InternalError', `the store in ${this.#rows.location} is damaged: row ${name} of ${version.key} is ${stored ? 'not what was written' : 'missing'}; stop Cleat and start it once with --store-recover, or restore a backup`);
    }
    if (version.entry) return version.entry;
    const entry: Entry = { key: version.key, value: row.value, createRevision: version.createRevision, modRevision: version.revision, note: undefined };
    if (this.#state.latest(version.key) === version) {
      version.entry = entry;
      this.#state.cache.add(version);
    }
    return entry;
  }

  #eventsAfter(prefix: string, after: number): EventPage | Promise<EventPage> {
    this.#state.check(prefix, after);
    const { versions, through } = this.#state.changes(prefix, after, eventsAtOnce);
    const events = versions.map((version) => version.event).filter((event) => event !== undefined);
    return events.length === versions.length ? { events, through } : this.#rebuild(prefix, after, versions, through);
  }

  /** Events that are no longer in memory, from their versions. `Expired` when compaction overtakes. */
  async #rebuild(prefix: string, after: number, versions: readonly Version[], through: number): Promise<EventPage> {
    const before = versions.map((version) => (version.older?.deleted ? undefined : version.older));
    try {
      const values = await this.#load(versions);
      const previous = await this.#load(before.filter((version) => version !== undefined));
      let next = 0;
      const events = versions.map((version, i) => version.event ?? eventOf(version, values[i] ?? absent, before[i] && previous[next++]));
      return { events, through };
    } catch (error) {
      this.#state.check(prefix, after);
      throw error;
    }
  }
}

const absent: Entry = { key: '', value: new Uint8Array(0), createRevision: 0, modRevision: 0 };

function held(version: Version, entry: Entry): Entry {
  version.used = true;
  return entry;
}

function eventOf(version: Version, entry: Entry, previous: Entry | undefined): StoreEvent {
  const { key, revision, createRevision } = version;
  return { type: version.deleted ? 'delete' : 'put', key, revision, createRevision, value: entry.value, previous: previous?.value };
}
