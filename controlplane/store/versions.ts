import type { Entry, StoreEvent } from './types.ts';

/**
 * One revision of one key. What the version says never changes; what it holds on to does: `entry` is dropped
 * when the value is on disk and memory is short, `event` when it is no longer recent, `older` when compacted.
 */
export interface Version {
  readonly key: string;
  readonly revision: number;
  readonly createRevision: number;
  readonly deleted: boolean;
  /** False for volatile keys, whose values live here only. */
  readonly durable: boolean;
  /** The row's check sum; 0 when not durable. */
  readonly crc: number;
  older: Version | undefined;
  entry: Entry | undefined;
  event: StoreEvent | undefined;
  /** Read since the cache last looked at it. */
  used: boolean;
}

/** A key and its newest version, which may be a deletion until that is compacted away. */
export interface Slot {
  readonly key: string;
  latest: Version;
}

export function newVersion(about: Pick<Version, 'createRevision' | 'deleted' | 'durable' | 'crc'>, entry: Entry, older: Version | undefined): Version {
  const { createRevision, deleted, durable, crc } = about;
  return { key: entry.key, revision: entry.modRevision, createRevision, deleted, durable, crc, older, entry, event: undefined, used: false };
}

/** The version that a reader at `revision` sees; undefined when the key did not exist then. */
export function visibleAt(latest: Version, revision: number): Version | undefined {
  let version: Version | undefined = latest;
  while (version && version.revision > revision) version = version.older;
  return version?.deleted ? undefined : version;
}

/**
 * Bounds the bytes of durable values kept in memory. Eviction is first in, first out with a second chance:
 * a value read since it was last looked at goes round once more.
 */
export class ValueCache {
  readonly #maxBytes: number;
  /** May name versions that were dropped since; `#held` says how many were not. */
  #queue: Version[] = [];
  #head = 0;
  #held = 0;
  #bytes = 0;

  constructor(config: { readonly maxBytes: number }) {
    this.#maxBytes = config.maxBytes;
  }

  get bytes(): number { return this.#bytes; }

  /** Takes charge of a version that holds its value. Give each held value once. */
  add(version: Version): void {
    if (!version.durable || !version.entry) return;
    this.#queue.push(version);
    this.#held++;
    this.#bytes += version.entry.value.byteLength;
    if (this.#queue.length > 2 * this.#held + 1024) this.#tidy();
    while (this.#bytes > this.#maxBytes && this.#head < this.#queue.length) this.#evictOne();
  }

  /** Lets go of a value that nobody is likely to read again. */
  drop(version: Version): void {
    if (!version.durable || !version.entry) return;
    this.#held--;
    this.#bytes -= version.entry.value.byteLength;
    version.entry = undefined;
  }

  #evictOne(): void {
    const version = this.#queue[this.#head++];
    if (!version?.entry) return;
    if (version.used) {
      version.used = false;
      this.#queue.push(version);
      return;
    }
    this.drop(version);
  }

  #tidy(): void {
    this.#queue = this.#queue.slice(this.#head).filter((version) => version.entry);
    this.#head = 0;
  }
}
