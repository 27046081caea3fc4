/**
 * One read-change-write at a time per key. The store's compare-and-swap alone would be right, but a write
 * waits for the disk and readers see what is on it, so that racing clients would lose again and again.
 */
export class KeyLock {
  readonly #tails = new Map<string, Promise<void>>();

  /** `work` may let the next one in before its end: it is then itself no better off than who never asked. */
  async run<T>(key: string, work: (release: () => void) => Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tails.set(key, promise);
    const release = (): void => {
      if (this.#tails.get(key) === promise) this.#tails.delete(key);
      resolve();
    };
    try {
      await before;
      return await work(release);
    } finally {
      release();
    }
  }
}
