import type { StatusError } from '#common/errors.ts';

/**
 * The revisioned key-value store under the API. Keys are `group/plural/namespace/name` (`core/pods/default/web`)
 * or `group/plural/name`; values are bytes that the store never looks into.
 *
 * Revisions are global, start at 1, grow by one for every write of any key, and are never used twice, also
 * across restarts and crashes. A resolved write is on disk (volatile keys excepted: they live in memory and
 * are gone after a restart, but their revisions are never reused either).
 */
export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  /** Revision that made the key, and of its last change. */
  readonly createRevision: number;
  readonly modRevision: number;
  /** What a reader made of the value, kept as long as the value is in memory and is the newest. The store never looks into it. */
  note?: unknown;
}

/** What a write expects of the key: its modRevision, that it is absent, or nothing. */
export type Expectation = number | 'absent' | 'any';

export interface WriteRequest {
  readonly key: string;
  readonly expect: Expectation;
  readonly type: 'put' | 'delete';
  /**
   * Called once by the single writer, synchronously, after the expectation held: the bytes to keep (put) or
   * the last state that watchers are sent (delete), with `revision` inside. If it throws, nothing is written
   * and the write rejects with that error.
   */
  readonly encode: (revision: number) => Uint8Array;
}

export interface ListRequest {
  /** All keys that start with this. */
  readonly prefix: string;
  /** The state as of this revision; the newest when absent. */
  readonly revision?: number;
  /** Only keys greater than this (a continue token's key). */
  readonly after?: string;
  readonly limit?: number;
  /** Keys of which this is false, by the revision of their last change, are passed over without being read. `entry` is given where it is in memory. */
  readonly where?: (key: string, modRevision: number, entry: Entry | undefined) => boolean;
  /** False: `remaining` only tells whether there is more, which spares a walk over all of it. */
  readonly countRemaining?: boolean;
}

export interface ListResult {
  readonly entries: readonly Entry[];
  /** The revision that the whole list is true at. */
  readonly revision: number;
  readonly more: boolean;
  /** Keys with the prefix after the last entry returned; exact at `revision`. */
  readonly remaining: number;
}

/** One change, shared by all watchers: never modify it; identity may key caches of encodings. */
export interface StoreEvent {
  readonly type: 'put' | 'delete';
  readonly key: string;
  readonly revision: number;
  readonly createRevision: number;
  /** The new bytes, or for a delete its last state. */
  readonly value: Uint8Array;
  /** The bytes before; absent for a create. */
  readonly previous: Uint8Array | undefined;
}

export interface WatchRequest {
  readonly prefix: string;
  /** Events after this revision, in order, none missing; `Expired` when compacted away or lost with a restart. */
  readonly after: number;
  readonly signal: AbortSignal;
}

/** Batches of events. Iterate it once. */
export interface Watch extends AsyncIterable<readonly StoreEvent[]> {
  /** Ends the reader's present wait, or its next one, with an empty batch: for what else it has to see to. */
  wake(): void;
  /**
   * For readers of whom there are many: instead of the next batch being waited for, each is handed to `take` as it comes, while
   * that returns true. Resolves when it returned false, or as soon as there is something that only the next step tells: a wake,
   * the end, an error, or events that must be read from where it stands.
   */
  follow(take: (batch: readonly StoreEvent[]) => boolean): Promise<void>;
}

export interface Store {
  /** Newest revision that reads can see. */
  readonly revision: number;
  /** Oldest revision that lists may still ask for and watches may start after. */
  readonly compacted: number;
  /** Why the disk takes no writes now; undefined while it does. Reads go on, and writing is tried again without being asked. */
  readonly writeProblem: StatusError | undefined;
  get(key: string): Promise<Entry | undefined>;
  /** Rejects with `Expired` when `revision` is compacted, `Invalid` when it lies in the future. */
  list(request: ListRequest): Promise<ListResult>;
  /** Count of keys with a prefix now. */
  count(prefix: string): number;
  /**
   * Resolves with the entry written (for a delete: its last state) once it is on disk.
   * Rejects with `Conflict` (expected revision differs), `AlreadyExists`, `NotFound`, `TooManyRequests` (too
   * many writes wait, or volatile keys hold too much), or `ServiceUnavailable` when the disk refuses or the
   * store is closed; after that nothing was written, and its revision is not used again.
   */
  write(request: WriteRequest): Promise<Entry>;
  /**
   * Batches of events as they become durable; a batch is empty only after `wake`, and may be shared by watchers of the same
   * prefix. Ends when the signal aborts or the store closes; throws `Expired` when it fell too far behind and
   * `Invalid` when `after` lies in the future. No per-watcher buffer: a slow reader costs nothing but its cursor.
   */
  watch(request: WatchRequest): Watch;
  /** Forgets history before `revision`; the current state stays. */
  compact(revision: number): Promise<void>;
  /** Everything durable at one moment, as rows that `restoreRows` reads. Absent where the store has means of its own to be copied. */
  snapshot?(): AsyncIterable<readonly (readonly [string, Uint8Array])[]>;
  /** Waits for writes under way, then closes. */
  close(): Promise<void>;
}

export interface RowWrite {
  readonly name: string;
  /** Absent to remove the row. */
  readonly bytes?: Uint8Array;
}

/** What is known of the newest acknowledged write without reading the rows. */
export interface HeadNote {
  readonly head: number;
  readonly reserved: number;
}

/**
 * Named rows of bytes in the order of their names: all that the embedded store asks of a disk. Errors are
 * StatusErrors: `ServiceUnavailable` when the disk refuses, `InternalError` when it is damaged.
 */
export interface RowStore {
  /** Where the rows are, for messages. */
  readonly location: string;
  /** Rows with `from <= name < to` in order, in batches; the whole is one snapshot. */
  scan(from: string, to: string): AsyncIterable<readonly (readonly [string, Uint8Array])[]>;
  getMany(names: readonly string[]): Promise<readonly (Uint8Array | undefined)[]>;
  /** All or nothing. With `sync` it is on disk when this resolves. After a rejection the outcome is unknown and `reopen` must come first. */
  write(rows: readonly RowWrite[], sync: boolean): Promise<void>;
  /** Makes writing possible again after a rejected write; rejects while the disk still refuses. */
  reopen(): Promise<void>;
  /** Writes anew, synced, the rows read so far that are kept in an outdated form; returns how many. May reject as `write`. */
  refresh?(): Promise<number>;
  /** Keeps a lower bound of what was acknowledged, apart from the rows; cheap, and survives the process. */
  noteHead(note: HeadNote): void;
  /** The last note; undefined when there is none that can be read. */
  readHead(): HeadNote | undefined;
  close(): Promise<void>;
}
