import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import type { State } from './state.ts';

export interface AutoCompactionConfig {
  /** History younger than this is kept, unless it is longer than `keepRevisions`. */
  readonly keepMs: number;
  readonly keepRevisions: number;
  /** Most that past versions of volatile keys may hold. */
  readonly maxVolatileBytes: number;
}

export interface AutoCompactionDeps {
  readonly state: State;
  readonly clock: Clock;
  readonly log: Log;
  readonly compact: (revision: number) => Promise<void>;
}

/** Bounds history by age, number and bytes. A timer runs only while there is history: an idle store does nothing. */
export class AutoCompaction {
  readonly #deps: AutoCompactionDeps;
  readonly #config: AutoCompactionConfig;
  #cancel: (() => void) | undefined;
  #running = false;
  #stopped = false;

  constructor(deps: AutoCompactionDeps, config: AutoCompactionConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** To be told after every change. */
  changed(): void {
    if (this.#stopped) return;
    const { state } = this.#deps;
    if (!this.#cancel && state.historyLength > 0) this.#arm(state.revision);
    if (this.#running) return;
    const { keepRevisions, maxVolatileBytes } = this.#config;
    if (state.historyLength > keepRevisions * 1.25) this.#run(state.revisionBefore(keepRevisions) ?? 0);
    else if (state.volatilePastBytes > maxVolatileBytes) this.#run(state.revisionBefore(state.historyLength >> 1) ?? state.revision);
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  /** What was newest when the timer was set is old enough when it fires. */
  #arm(revision: number): void {
    this.#cancel = this.#deps.clock.after(this.#config.keepMs, () => {
      this.#cancel = undefined;
      this.#run(revision);
      this.changed();
    });
  }

  #run(revision: number): void {
    this.#running = true;
    const { compact, log } = this.#deps;
    void compact(revision)
      .catch((error: unknown) => { log.warn({ err: messageOf(error), revision }, 'history was not compacted; next attempt later'); })
      .finally(() => { this.#running = false; });
  }
}
