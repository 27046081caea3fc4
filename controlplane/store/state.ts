import { StatusError } from '#common/errors.ts';
import { SortedIndex } from './sorted-index.ts';
import type { ListRequest, StoreEvent } from './types.ts';
import { ValueCache, visibleAt, type Version } from './versions.ts';

export interface StateConfig {
  readonly volatilePrefixes: readonly string[];
  readonly cacheBytes: number;
  /** Recent events kept with their bytes. */
  readonly eventBytes: number;
}

/** What a list sees: the versions to return, still without their values. */
export interface Selection {
  readonly versions: readonly Version[];
  readonly revision: number;
  readonly remaining: number;
}

/** History to forget: versions to unlink and the rows that held them. */
export interface CompactionPlan {
  readonly revision: number;
  readonly removed: readonly Version[];
  /** Newest durable revision up to `revision`, or 0 when there is none in memory. */
  readonly anchor: number;
}

/**
 * Everything that readers can see, in memory: the key index, each key's versions since the last compaction,
 * and all versions since then in order of revision. Only durable writes get here; nothing in it waits.
 */
export class State {
  readonly #config: StateConfig;
  readonly #index = new SortedIndex();
  readonly cache: ValueCache;
  /** Every version after `compacted`, by revision. */
  #history: Version[] = [];
  /** Versions in `#history` before this position have no event any more. */
  #eventsFrom = 0;
  #eventBytes = 0;
  #volatileBytes = 0;
  #volatilePastBytes = 0;
  revision = 0;
  compacted = 0;
  /** Volatile keys have no history before this revision: they were lost with a restart. */
  volatileSince = 0;

  constructor(config: StateConfig) {
    this.#config = config;
    this.cache = new ValueCache({ maxBytes: config.cacheBytes });
  }

  get historyLength(): number { return this.#history.length; }
  get volatileBytes(): number { return this.#volatileBytes; }
  /** Held by versions of volatile keys that only history needs. */
  get volatilePastBytes(): number { return this.#volatilePastBytes; }
  /** Keys in memory, deleted ones included until they are compacted. */
  get keys(): number { return this.#index.size; }

  latest(key: string): Version | undefined {
    return this.#index.get(key)?.latest;
  }

  isVolatile(key: string): boolean {
    return this.#config.volatilePrefixes.some((prefix) => key.startsWith(prefix));
  }

  /** Adds a version whose `older` is the key's latest. The value of the one it replaces is let go. */
  append(version: Version): void {
    const slot = this.#index.get(version.key);
    if (slot) slot.latest = version;
    else this.#index.insert({ key: version.key, latest: version });
    if (version.older?.entry) version.older.entry.note = undefined;
    if (version.older?.durable) this.cache.drop(version.older);
    if (!version.durable) this.#countVolatile(version);
    if (!version.deleted) this.cache.add(version);
    else if (version.durable) version.entry = undefined;
    this.#history.push(version);
    this.revision = version.revision;
    if (version.event) this.#boundEvents(version.event);
  }

  count(prefix: string): number {
    let count = 0;
    this.#index.visit(prefix, undefined, ({ latest }) => { if (!latest.deleted) count++; return true; });
    return count;
  }

  live(prefix: string): readonly Version[] {
    const live: Version[] = [];
    this.#index.visit(prefix, undefined, ({ latest }) => { if (!latest.deleted) live.push(latest); return true; });
    return live;
  }

  /** Throws `Expired` or `Invalid` when `revision` cannot be read. */
  select(request: ListRequest): Selection {
    const revision = request.revision ?? this.revision;
    this.check(request.prefix, revision);
    const limit = request.limit ?? Number.POSITIVE_INFINITY;
    const versions: Version[] = [];
    let remaining = 0;
    this.#index.visit(request.prefix, request.after, ({ latest }) => {
      const version = latest.revision <= revision ? (latest.deleted ? undefined : latest) : visibleAt(latest, revision);
      if (!version || (request.where && !request.where(version.key, version.revision, version.entry))) return true;
      if (versions.length < limit) {
        versions.push(version);
        return true;
      }
      remaining++;
      return request.countRemaining !== false;
    });
    return { versions, revision, remaining };
  }

  /** Throws unless the state and events of `prefix` at `revision` are still, and already, known. */
  check(prefix: string, revision: number): void {
    if (revision > this.revision) {
      throw new StatusError('Invalid', `revision ${String(revision)} lies in the future: the newest is ${String(this.revision)}; list again without a revision`);
    }
    if (revision < this.compacted) throw expired(revision, this.compacted);
    if (revision < this.volatileSince && this.#touchesVolatile(prefix)) throw expired(revision, this.volatileSince);
  }

  /** Up to `limit` versions of `prefix` after `after`, and the revision up to which there are no others. */
  changes(prefix: string, after: number, limit: number): { readonly versions: readonly Version[]; readonly through: number } {
    const versions: Version[] = [];
    for (let i = this.#positionAfter(after); i < this.#history.length; i++) {
      const version = this.#history[i];
      if (!version?.key.startsWith(prefix)) continue;
      versions.push(version);
      if (versions.length >= limit) return { versions, through: version.revision };
    }
    return { versions, through: this.revision };
  }

  /** Revision of the version with `keep` newer ones after it; undefined when there are not that many. */
  revisionBefore(keep: number): number | undefined {
    return this.#history[this.#history.length - keep - 1]?.revision;
  }

  /** The first step of a compaction to `revision`, over at most `limit` versions. Changes nothing. */
  planCompaction(revision: number, limit: number): CompactionPlan {
    const end = Math.min(this.#positionAfter(revision), limit);
    const last = this.#history[end - 1];
    const to = end === limit && last ? last.revision : revision;
    const keys = new Set<string>();
    let anchor = 0;
    for (let i = 0; i < end; i++) {
      const version = this.#history[i];
      if (!version) continue;
      keys.add(version.key);
      if (version.durable) anchor = version.revision;
    }
    const removed: Version[] = [];
    for (const key of keys) {
      let version = this.#index.get(key)?.latest;
      while (version && version.revision > to) version = version.older;
      if (!version) continue;
      for (let older = version.older; older; older = older.older) removed.push(older);
      if (version.deleted) removed.push(version);
    }
    return { revision: to, removed, anchor };
  }

  applyCompaction(plan: CompactionPlan): void {
    const gone = new Set(plan.removed);
    for (const version of gone) {
      this.cache.drop(version);
      if (!version.durable) this.#volatilePastBytes -= bytesOf(version);
      const slot = this.#index.get(version.key);
      if (slot?.latest === version) { this.#index.remove(version.key); continue; }
      for (let newer = slot?.latest; newer; newer = newer.older) if (newer.older && gone.has(newer.older)) newer.older = undefined;
    }
    const end = this.#positionAfter(plan.revision);
    for (let i = this.#eventsFrom; i < end; i++) this.#dropEvent(this.#history[i]);
    this.#history = this.#history.slice(end);
    this.#eventsFrom = Math.max(0, this.#eventsFrom - end);
    this.compacted = Math.max(this.compacted, plan.revision);
  }

  /** Drops what a restart keeps no history of: called once, after loading. */
  startAt(revision: number, compacted: number): void {
    this.revision = revision;
    this.volatileSince = revision;
    this.compacted = compacted;
    this.#history = this.#history.slice(this.#positionAfter(compacted));
  }

  #countVolatile(version: Version): void {
    const { older } = version;
    const live = older && !older.deleted ? bytesOf(older) : 0;
    this.#volatileBytes += (version.deleted ? 0 : bytesOf(version)) - live;
    this.#volatilePastBytes += (version.deleted ? bytesOf(version) : 0) + live;
  }

  #touchesVolatile(prefix: string): boolean {
    return this.#config.volatilePrefixes.some((volatile) => volatile.startsWith(prefix) || prefix.startsWith(volatile));
  }

  #positionAfter(revision: number): number {
    let low = 0;
    let high = this.#history.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#history[middle]?.revision ?? 0) <= revision) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #boundEvents(added: StoreEvent): void {
    this.#eventBytes += eventBytes(added);
    while (this.#eventBytes > this.#config.eventBytes && this.#eventsFrom < this.#history.length) this.#dropEvent(this.#history[this.#eventsFrom++]);
  }

  #dropEvent(version: Version | undefined): void {
    if (!version?.event) return;
    this.#eventBytes -= eventBytes(version.event);
    version.event = undefined;
  }
}

function expired(revision: number, oldest: number): StatusError {
  return new StatusError('Expired', `revision ${String(revision)} is too old: history starts at ${String(oldest)}; list again`);
}

function bytesOf(version: Version): number {
  return version.entry?.value.byteLength ?? 0;
}

function eventBytes(event: StoreEvent): number {
  return event.value.byteLength + (event.previous?.byteLength ?? 0);
}
