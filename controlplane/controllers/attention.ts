import type { Clock } from '#common/clock.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';

/**
 * The one clock rule: silence counts only from when this process has been there to hear. One that was down, stopped, or on a
 * machine that slept gives all nodes their time to report before it holds anything against them. A wall clock that is
 * set is no such gap, because nothing here goes by it.
 */
export class Attention implements Runnable {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #periodMs: number;
  readonly #lateMs: number;
  readonly #listeners = new Set<() => void>();
  #sinceMs: number;
  #lookedMs: number;
  #sleptMs: number;

  /** `graceMs`: the silence that is too much. A gap of half of it is noticed. */
  constructor({ clock, log }: { readonly clock: Clock; readonly log: Log }, graceMs: number) {
    this.#clock = clock;
    this.#log = log;
    this.#periodMs = Math.max(250, graceMs / 4);
    this.#lateMs = Math.max(1000, graceMs / 4);
    this.#sinceMs = this.#lookedMs = clock.monotonic();
    this.#sleptMs = this.#slept();
  }

  /** Since when, on the monotonic clock, nothing was missed. */
  get sinceMs(): number {
    this.check();
    return this.#sinceMs;
  }

  /** Called when a gap is found, before anybody who asks `sinceMs` gets an answer. */
  onGap(listener: () => void): void { this.#listeners.add(listener); }

  async start(signal: AbortSignal): Promise<void> {
    this.#sinceMs = this.#lookedMs = this.#clock.monotonic();
    this.#sleptMs = this.#slept();
    try {
      for (;;) {
        await this.#clock.sleep(this.#periodMs, signal);
        this.check();
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    }
  }

  /** Looks whether there was a gap. */
  check(): void {
    const nowMs = this.#clock.monotonic();
    const stoppedMs = nowMs - this.#lookedMs - this.#periodMs;
    const sleptMs = this.#slept() - this.#sleptMs;
    this.#lookedMs = nowMs;
    this.#sleptMs += sleptMs;
    if (stoppedMs <= this.#lateMs && sleptMs <= this.#lateMs) return;
    this.#sinceMs = nowMs;
    this.#log.warn({ stoppedMs: Math.round(Math.max(0, stoppedMs)), sleptMs: Math.round(sleptMs) }, 'this process was stopped for a while, waiting for nodes to report again');
    for (const listener of this.#listeners) listener();
  }

  #slept(): number {
    return (this.#clock.uptime?.() ?? this.#clock.monotonic()) - this.#clock.monotonic();
  }
}
