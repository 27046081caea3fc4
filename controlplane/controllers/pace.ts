import type { Clock } from '#common/clock.ts';

/** Looks at things of fewer parts are cheap enough to have one for each change. */
const fewParts = 100;
const longestGapMs = 1000;

/**
 * Keeps looks at one key apart. What has many parts (a Job its pods, a Service its endpoints) is not looked at for each
 * change of each part: that would take the square of their number, and send as much to every node.
 */
export class Pace {
  readonly #clock: Clock;
  readonly #lookedAt = new Map<string, number>();
  readonly #resting = new Set<string>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds that a look at `key`, which has so many parts, has to wait: one for each, but not for ever. 0 takes note of the look. */
  waitMs(key: string, parts: number, longestMs = longestGapMs): number {
    const now = this.#clock.monotonic();
    const gapMs = parts <= fewParts ? 0 : Math.min(longestMs, parts);
    const waitMs = (this.#lookedAt.get(key) ?? -Infinity) + gapMs - now;
    if (waitMs > 0) {
      this.#resting.add(key);
      return waitMs;
    }
    this.#resting.delete(key);
    this.#lookedAt.set(key, now);
    return 0;
  }

  /** `keys` without those that wait for their time and are looked at then in any case. */
  * awake(keys: Iterable<string>): Iterable<string> {
    for (const key of keys) if (!this.#resting.has(key)) yield key;
  }

  /** There is nothing behind the key any more, or something else. */
  forget(key: string): void {
    this.#lookedAt.delete(key);
    this.#resting.delete(key);
  }
}
