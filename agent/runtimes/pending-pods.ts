/** Pods that wait to be looked at; a uid is never in it twice, so it is as small as the number of pods. `undefined` stands for all. */
export class PendingPods {
  readonly #uids = new Set<string | undefined>();
  #wake: (() => void) | undefined;

  add(uid: string | undefined): void {
    this.#uids.add(uid);
    this.wake();
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }

  take(): (string | undefined)[] {
    const all = [...this.#uids];
    this.#uids.clear();
    return all;
  }

  wait(): Promise<void> {
    return this.#uids.size > 0 ? Promise.resolve() : new Promise((resolve) => { this.#wake = resolve; });
  }
}
