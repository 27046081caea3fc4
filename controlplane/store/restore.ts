import type { Log } from '#common/log.ts';
import { rebaseRestored } from './load.ts';
import { storeDefaults } from './open.ts';
import { SealedRows, type SealingConfig } from './sealed-rows.ts';
import { State } from './state.ts';
import type { RowStore, RowWrite } from './types.ts';

/** As many revisions as no control plane gives out between two backups. */
const leap = 1_000_000_000;
const batchBytes = 1 << 20;

/** Puts rows of `Store.snapshot` into a new folder, as a store that goes on from there. Give all rows to `add`, then `finish`; `close` in any case. */
export class RestoredRows {
  readonly #plain: RowStore;
  readonly #rows: RowStore;
  #batch: RowWrite[] = [];
  #bytes = 0;

  private constructor(plain: RowStore, sealing: SealingConfig) {
    this.#plain = plain;
    this.#rows = new SealedRows(plain, sealing);
  }

  static async open(log: Log, dir: string, sealing: SealingConfig): Promise<RestoredRows> {
    const { openLevelRows } = await import('./backends/leveldb/backend.ts');
    return new RestoredRows(await openLevelRows({ dir, log, recover: false }), sealing);
  }

  async add(name: string, bytes: Uint8Array): Promise<void> {
    this.#batch.push({ name, bytes });
    this.#bytes += bytes.length;
    if (this.#bytes >= batchBytes) await this.#write(false);
  }

  /** Checks every row against what the others say, and resolves with the number of keys once all is on disk. */
  async finish(): Promise<number> {
    await this.#write(true);
    return rebaseRestored(this.#rows, new State(storeDefaults), leap);
  }

  close(): Promise<void> {
    return this.#plain.close();
  }

  async #write(sync: boolean): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#bytes = 0;
    await this.#rows.write(batch, sync);
  }
}
