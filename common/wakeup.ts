import type { Clock } from './clock.ts';

/** Lets one loop sleep until there is something to do. */
export class Wakeup {
  #settle: (() => void) | undefined;

  /** Ends the wait, if there is one. */
  notify(): void {
    this.#settle?.();
  }

  /** Resolves with the next `notify`; rejects when the signal aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        signal.removeEventListener('abort', settle);
        this.#settle = undefined;
        resolve();
      };
      signal.addEventListener('abort', settle, { once: true });
      this.#settle = settle;
    });
    signal.throwIfAborted();
  }

  /** As `wait`, but for `ms` at most: true when woken, false when the time has passed. */
  async waitAtMost(ms: number, clock: Pick<Clock, 'after'>, signal: AbortSignal): Promise<boolean> {
    let late = false;
    const cancel = clock.after(ms, () => {
      late = true;
      this.notify();
    });
    await this.wait(signal).finally(cancel);
    return !late;
  }
}
