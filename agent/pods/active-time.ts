import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';

export interface ActiveTimeConfig {
  /** The folder of the pod's files, which is there once it has begun. */
  readonly root: string;
  /** A file below it: what was found out, so that another agent of this boot need not ask a clock that is wrong by then. */
  readonly path: string;
  /** Asked for pods with a deadline alone. */
  readonly bootId: () => string;
}

/** For how long a pod has been active, by a clock that nobody sets, and that goes on while the host sleeps. */
export class ActiveTime {
  readonly #clock: Clock;
  readonly #config: ActiveTimeConfig;
  #sinceMs: number | undefined;
  #isKept = false;

  constructor(clock: Clock, config: ActiveTimeConfig) {
    this.#clock = clock;
    this.#config = config;
  }

  /** Undefined where nobody asks. The wall clock is asked once in a boot: a host without a battery begins in 1970, and is set when it hears of the time. */
  ms({ spec }: Pod, startTime: string | undefined): number | undefined {
    if (spec?.activeDeadlineSeconds === undefined || startTime === undefined) return undefined;
    const uptimeMs = this.#clock.uptime?.() ?? this.#clock.monotonic();
    this.#sinceMs ??= this.#remembered() ?? Math.round(uptimeMs - Math.max(0, this.#clock.now() - Date.parse(startTime)));
    if (!this.#isKept) this.#keep(this.#sinceMs);
    return uptimeMs - this.#sinceMs;
  }

  #remembered(): number | undefined {
    try {
      const [, bootId, sinceMs] = /^(\S+) (-?\d+)\n$/.exec(readFileSync(this.#config.path, 'utf8')) ?? [];
      return bootId === this.#config.bootId() && sinceMs !== undefined ? Number(sinceMs) : undefined;
    } catch {
      return undefined;
    }
  }

  #keep(sinceMs: number): void {
    const { root, path, bootId } = this.#config;
    try {
      if (!existsSync(root)) return;
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, `${bootId()} ${String(sinceMs)}\n`);
      this.#isKept = true;
    } catch {
      // A disk that is full or read-only: tried again with the next look.
    }
  }
}
