import { StatusError } from '#common/errors.ts';
import type { RowStore, RowWrite } from '../../types.ts';
import { mostOperations, type Compare, type EtcdClient, type Operation } from './client.ts';

export interface EtcdRowsConfig {
  /** Of every key here: `/cleat/rows/`. */
  readonly prefix: string;
  /** What must hold for anything to be written: that we lead. Undefined where nobody else writes. */
  readonly fence?: Compare;
}

/** Rows of one answer: values may have a megabyte each. */
const pageRows = 200;
/** One operation is left for etcd's own use; so many bytes are etcd's limit for a request, less what goes around the values. */
const mostWrites = mostOperations - 1;
const mostBytes = (3 << 19) - (64 << 10);
/** For the store above: a batch, and the row of what is known of all others, is one transaction. */
export const etcdLimits = { maxBatch: mostWrites - 1, maxBatchBytes: 512 << 10 } as const;
/** etcd keeps what was replaced and removed until it is told not to. */
const compactEvery = 5000;

/** Rows in etcd. Whoever writes them leads: a write of a leader of yesterday is refused by etcd itself. */
export class EtcdRows implements RowStore {
  readonly #client: EtcdClient;
  readonly #config: EtcdRowsConfig;
  #compacted = 0;

  constructor(client: EtcdClient, config: EtcdRowsConfig) {
    this.#client = client;
    this.#config = config;
  }

  get location(): string { return `etcd at ${this.#client.location}`; }

  async * scan(from: string, to: string): AsyncGenerator<readonly (readonly [string, Uint8Array])[]> {
    const rangeEnd = this.#key(to);
    let revision = 0;
    for (let key = this.#key(from); ;) {
      const { header, kvs, more } = await this.#client.range({ key, rangeEnd, limit: pageRows, revision });
      if (revision === 0) revision = header.revision;
      if (kvs.length > 0) yield kvs.map((kv) => [this.#name(kv.key), kv.value] as const);
      const last = kvs.at(-1);
      if (!more || !last) return;
      key = Buffer.concat([last.key, Buffer.alloc(1)]);
    }
  }

  async getMany(names: readonly string[]): Promise<readonly (Uint8Array | undefined)[]> {
    const found: (Uint8Array | undefined)[] = [];
    for (let i = 0; i < names.length; i += mostWrites) {
      const { responses } = await this.#client.txn({ compare: [], success: names.slice(i, i + mostWrites).map((name) => ({ requestRange: { key: this.#key(name) } })) });
      found.push(...responses.map(({ responseRange }) => responseRange?.kvs[0]?.value));
    }
    return found;
  }

  /**
   * What is put, and with it what fits of what is removed, is one transaction. Rows that are removed beyond that follow in others:
   * they are old history, which may as well stay for a while.
   */
  async write(rows: readonly RowWrite[], _sync: boolean): Promise<void> {
    const puts = rows.filter(({ bytes }) => bytes !== undefined);
    const removals = rows.filter(({ bytes }) => bytes === undefined);
    const size = puts.reduce((sum, { bytes }) => sum + (bytes?.byteLength ?? 0), 0);
    if (puts.length > mostWrites || size > mostBytes) {
      throw new StatusError('RequestEntityTooLarge', `${String(puts.length)} rows of ${String(size)} bytes are more than etcd takes at once: ${String(mostWrites)} rows, ${String(mostBytes)} bytes`);
    }
    const together = removals.splice(0, mostWrites - puts.length);
    await this.#commit([...puts, ...together]);
    while (removals.length > 0) await this.#commit(removals.splice(0, mostWrites));
  }

  async #commit(rows: readonly RowWrite[]): Promise<void> {
    const { fence } = this.#config;
    const success = rows.map(({ name, bytes }): Operation => (bytes ? { requestPut: { key: this.#key(name), value: bytes } } : { requestDeleteRange: { key: this.#key(name) } }));
    const { header, succeeded } = await this.#client.txn({ compare: fence ? [fence] : [], success });
    if (!succeeded) throw new StatusError('ServiceUnavailable', 'another control plane leads now: nothing was written here', { retryAfterMs: 1000 });
    if (this.#compacted === 0) this.#compacted = header.revision;
    if (header.revision - this.#compacted < compactEvery) return;
    // It is so long ago that no scan under way reads it. Whether it is done now or with the next one matters to nobody.
    await this.#client.compact(this.#compacted).catch(() => undefined);
    this.#compacted = header.revision;
  }

  /** Nothing has to be opened: whether etcd takes writes again, the next one shows. */
  async reopen(): Promise<void> {
    await this.#client.range({ key: this.#key(''), limit: 1 });
  }

  /** etcd does not lose what it acknowledged; there is nothing to be noted beside it. */
  noteHead(): void { /* nothing */ }
  readHead(): undefined { return undefined; }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #key(name: string): Buffer {
    return Buffer.from(this.#config.prefix + name);
  }

  #name(key: Buffer): string {
    return key.toString().slice(this.#config.prefix.length);
  }
}
