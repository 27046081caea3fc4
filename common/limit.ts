import type { Clock } from './clock.ts';

/** At most `max` pieces of work at once; the others wait in order. */
export class Limit {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(max: number) {
    this.#free = max;
  }

  /** An abort of the signal ends the wait, not the work. */
  async run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free--;
    else await this.#turn(signal);
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }

  /** Nobody waits longer than `ms`: then it is done beside the others, for one of them may be stuck. An abort of the signal ends the wait, not the work. */
  async runSoon<T>(work: () => Promise<T>, ms: number, clock: Clock, signal: AbortSignal): Promise<T> {
    const late = new AbortController();
    const cancel = clock.after(ms, () => { late.abort(); });
    let begun = false;
    try {
      return await this.run(() => {
        begun = true;
        cancel();
        return work();
      }, AbortSignal.any([signal, late.signal]));
    } catch (error) {
      signal.throwIfAborted();
      if (begun || !late.signal.aborted) throw error;
      return await work();
    } finally {
      cancel();
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(come), 1);
        reject(signal?.reason as Error);
      };
      const come = (): void => {
        signal?.removeEventListener('abort', leave);
        resolve();
      };
      this.#waiting.push(come);
      signal?.addEventListener('abort', leave, { once: true });
    });
  }
}
