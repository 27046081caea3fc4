import type { Clock } from '#common/clock.ts';

/** More looks than this at one key within a window mean that it makes no progress. */
const looksPerWindow = 100;
const windowMs = 1000;
/** Twenty looks a second cost next to nothing, and whoever is busy for a good reason does not wait for long. */
const longestMs = 5000;

/**
 * Notices keys that are looked at again and again though no look fails: two programs that undo each other's work, or a
 * mistake in a controller. Each window like that doubles the wait after it, up to five seconds; a calm one forgets.
 */
export class SpinGuard {
  readonly #clock: Clock;
  readonly #looks = new Map<string, number>();
  /** By key: how often in a row, and until when it has to wait. */
  readonly #strikes = new Map<string, { count: number; untilMs: number }>();
  #windowStart = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Keys that are held back now, or were until a moment ago. */
  get spinning(): number { return this.#strikes.size; }

  /** Takes note of a look. Milliseconds that it has to wait; 0 when it may be. */
  waitMs(key: string): number {
    const now = this.#clock.monotonic();
    if (now - this.#windowStart >= windowMs) this.#nextWindow(now);
    const held = this.#strikes.get(key);
    if (held !== undefined && held.untilMs > now) return Math.ceil(held.untilMs - now);
    const looks = (this.#looks.get(key) ?? 0) + 1;
    this.#looks.set(key, looks);
    if (looks <= looksPerWindow) return 0;
    this.#looks.delete(key);
    const count = (held?.count ?? 0) + 1;
    const waitMs = Math.min(longestMs, windowMs * 2 ** (count - 1));
    this.#strikes.set(key, { count, untilMs: now + waitMs });
    return waitMs;
  }

  #nextWindow(now: number): void {
    this.#windowStart = now;
    this.#looks.clear();
    for (const [key, { untilMs }] of this.#strikes) if (untilMs + windowMs < now) this.#strikes.delete(key);
  }
}
