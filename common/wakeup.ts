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
}
