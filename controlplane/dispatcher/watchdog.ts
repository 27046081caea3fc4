import type { Clock } from '#common/clock.ts';

/** Tells when nothing was heard for a time. Silence while this very process was stopped (a paused machine, a long stall) is not held against the other side. */
export class Watchdog {
  readonly #clock: Clock;
  readonly #silent: (silentMs: number) => void;
  #heardAtMs: number;
  #stop: () => void = () => undefined;

  /** `silent` is called once per `limit`, when that has passed without a word. */
  constructor(clock: Clock, silent: (silentMs: number) => void) {
    this.#clock = clock;
    this.#silent = silent;
    this.#heardAtMs = clock.monotonic();
  }

  heard(): void {
    this.#heardAtMs = this.#clock.monotonic();
  }

  /** From now on so much silence is too much. */
  limit(limitMs: number): void {
    this.#stop();
    this.#arm(limitMs, limitMs);
  }

  stop(): void {
    this.#stop();
  }

  #arm(waitMs: number, limitMs: number): void {
    const dueAtMs = this.#clock.monotonic() + waitMs;
    this.#stop = this.#clock.after(waitMs, () => {
      const nowMs = this.#clock.monotonic();
      // So late? Then what the other side has sent meanwhile has yet to be read.
      if (nowMs - dueAtMs > limitMs / 4) this.#heardAtMs = nowMs;
      const silentMs = nowMs - this.#heardAtMs;
      if (silentMs >= limitMs) this.#silent(silentMs);
      else this.#arm(limitMs - silentMs, limitMs);
    });
  }
}
