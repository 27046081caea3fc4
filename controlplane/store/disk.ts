import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError, toStatus } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { afterRowNames, encodeMeta, metaName, rowName, type Meta } from './row-format.ts';
import type { RowStore, RowWrite } from './types.ts';

export interface DiskConfig {
  /** Least time between two attempts to write again after the disk refused; grows while it refuses. */
  readonly reopenMs: number;
}

export interface DiskDeps {
  readonly rows: RowStore;
  readonly log: Log;
  readonly clock: Clock;
  /** Called when it is time to `recover`. */
  readonly due: () => void;
}

const maxReopenMs = 10_000;

/**
 * The rows as the writer sees them: what is on disk, or, after the disk refused, what must be made true on it
 * before anything else is written. Belongs to the writer's one loop.
 */
export class Disk {
  readonly #deps: DiskDeps;
  readonly #config: DiskConfig;
  #meta: Meta;
  /** Set from a refused write until `recover` succeeds: whether the disk took that write is not known. */
  #problem: StatusError | undefined;
  /** Rows that history has let go of and that may still be there. */
  #leftover: string[] = [];
  #failures = 0;
  #retryAt = 0;
  #cancelRetry: () => void = () => undefined;
  #closed = false;

  constructor(deps: DiskDeps, config: DiskConfig, meta: Meta) {
    this.#deps = deps;
    this.#config = config;
    this.#meta = meta;
  }

  /** As acknowledged. */
  get meta(): Meta { return this.#meta; }
  get problem(): StatusError | undefined { return this.#problem; }

  /** Puts rows on disk; `meta` is true from then on. */
  async commit(rows: readonly RowWrite[], meta: Meta): Promise<void> {
    await this.#write(rows, true);
    this.#meta = meta;
    try {
      this.#deps.rows.noteHead({ head: meta.head, reserved: meta.reserved });
    } catch (error) {
      this.#deps.log.warn({ err: messageOf(error) }, 'newest revision was not noted; the write itself is on disk');
    }
  }

  /** Removes rows that history no longer needs, now or when the disk takes writes again. Writes nothing when there are none. */
  async forget(names: readonly string[], history: Pick<Meta, 'compacted' | 'anchor'>): Promise<void> {
    if (names.length === 0) return;
    this.#meta = { ...this.#meta, ...history };
    this.#leftover.push(...names);
    if (this.#problem) return;
    try {
      await this.#write(this.#tidyUp(), false);
      this.#leftover = [];
    } catch { /* logged, and kept for later */ }
  }

  /** Brings rows to the form in which they are written today. What the disk refuses is tried at the next start. */
  async refresh(): Promise<void> {
    if (this.#problem) return;
    try {
      const rows = await this.#deps.rows.refresh?.() ?? 0;
      if (rows > 0) this.#deps.log.info({ rows }, 'stored rows brought to their newest form');
    } catch (error) {
      this.#deps.log.warn({ err: messageOf(error) }, 'stored rows could not be brought to their newest form');
      this.#refused(error);
    }
  }

  /** Writes again if the disk lets us: undoes what a refused batch left, does what a refused compaction did not. Undefined when all is well. */
  async recover(): Promise<StatusError | undefined> {
    if (!this.#problem || this.#closed) return this.#problem;
    const { rows, clock, log } = this.#deps;
    const waitMs = this.#retryAt - clock.monotonic();
    if (waitMs > 0) return new StatusError(this.#problem.code, this.#problem.message, { cause: this.#problem.cause, retryAfterMs: Math.ceil(waitMs) });
    try {
      await rows.reopen();
      const undo: RowWrite[] = [];
      for await (const found of rows.scan(rowName(this.#meta.head + 1), afterRowNames)) undo.push(...found.map(([name]) => ({ name })));
      await rows.write([...undo, ...this.#tidyUp()], true);
      this.#leftover = [];
      this.#problem = undefined;
      this.#failures = 0;
      this.#cancelRetry();
      log.info('store writes again');
    } catch (error) {
      this.#refused(error);
    }
    return this.#problem;
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry();
  }

  #tidyUp(): RowWrite[] {
    return [...this.#leftover.map((name) => ({ name })), { name: metaName, bytes: encodeMeta(this.#meta) }];
  }

  async #write(rows: readonly RowWrite[], sync: boolean): Promise<void> {
    try {
      await this.#deps.rows.write(rows, sync);
    } catch (error) {
      this.#deps.log.error({ err: messageOf(error) }, 'store cannot write: reads go on, writes are refused until it can');
      this.#refused(error);
      throw error;
    }
  }

  #refused(error: unknown): void {
    const { clock, due } = this.#deps;
    this.#problem = toStatus(error, 'ServiceUnavailable');
    // The first attempt may come at once: the disk may have hiccupped.
    const delayMs = backoffMs({ baseMs: this.#config.reopenMs, maxMs: maxReopenMs, jitter: 0 }, this.#failures + 1, () => 0);
    this.#retryAt = this.#failures++ === 0 ? 0 : clock.monotonic() + delayMs;
    this.#cancelRetry();
    if (!this.#closed) this.#cancelRetry = clock.after(delayMs, due);
  }
}
