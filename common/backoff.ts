/** Exponential back-off with a ceiling: `baseMs * 2^failures`, at most `maxMs`, with jitter taken from `random`. */
export interface BackoffConfig {
  readonly baseMs: number;
  readonly maxMs: number;
  /** Fraction (0 to 1) of the delay that is random; 0 for exact delays. */
  readonly jitter: number;
}

/** The wait before attempt `failures + 1`; `failures` counts from 1. `random` yields 0 to 1. */
export function backoffMs(config: BackoffConfig, failures: number, random: () => number): number {
  const exact = Math.min(config.maxMs, config.baseMs * 2 ** Math.min(failures - 1, 30));
  return exact * (1 - config.jitter * random());
}
