import type { Pod } from '#api/gen/types.ts';
import type { Clock } from '#common/clock.ts';

/** For how long a pod has been active, by a clock that nobody sets, and that goes on while the host sleeps. */
export class ActiveTime {
  readonly #clock: Clock;
  #sinceMs: number | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Undefined where nobody asks. The wall clock is asked once: a host without a battery begins in 1970, and is set when it hears of the time. */
  ms({ spec }: Pod, startTime: string | undefined): number | undefined {
    if (spec?.activeDeadlineSeconds === undefined || startTime === undefined) return undefined;
    const uptimeMs = this.#clock.uptime?.() ?? this.#clock.monotonic();
    this.#sinceMs ??= uptimeMs - Math.max(0, this.#clock.now() - Date.parse(startTime));
    return uptimeMs - this.#sinceMs;
  }
}
