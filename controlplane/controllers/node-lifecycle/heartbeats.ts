import type { Clock } from '#common/clock.ts';

/**
 * When each node was last heard of, on this process's monotonic clock: a node's own clock is never trusted,
 * and silence from before this process started is not counted.
 */
export class Heartbeats {
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #heard = new Map<string, number>();
  /** When each node is to be looked at next. */
  readonly #due = new Map<string, number>();

  constructor(clock: Clock, graceMs: number) {
    this.#clock = clock;
    this.#graceMs = graceMs;
  }

  /** True when the node counted as lost until now. */
  heard(node: string): boolean {
    const wasLost = this.#heard.has(node) && this.isLost(node);
    this.#heard.set(node, this.#clock.monotonic());
    return wasLost;
  }

  /** Starts to listen for a node without having heard of it. */
  expect(node: string): void {
    if (!this.#heard.has(node)) this.#heard.set(node, this.#clock.monotonic());
  }

  forget(node: string): void {
    this.#heard.delete(node);
    this.#due.delete(node);
  }

  isLost(node: string): boolean {
    return this.#remainingMs(node) <= 0;
  }

  /** Of the nodes listened for. */
  count(): { total: number; lost: number } {
    let lost = 0;
    for (const node of this.#heard.keys()) if (this.isLost(node)) lost += 1;
    return { total: this.#heard.size, lost };
  }

  /** Gives every node the full grace period from now. */
  restart(): void {
    for (const node of this.#heard.keys()) this.#heard.set(node, this.#clock.monotonic());
    this.#due.clear();
  }

  /** How long until `node` would be lost; undefined when it is. Remembers the answer for `wasStalled`. */
  nextLookMs(node: string): number | undefined {
    const remaining = this.#remainingMs(node);
    if (remaining <= 0) { this.#due.delete(node); return undefined; }
    this.#due.set(node, this.#clock.monotonic() + remaining);
    return remaining;
  }

  /**
   * True when a look at `node` comes much later than it was due: this process was stopped (a paused machine,
   * a debugger), and the silence was on this side.
   */
  wasStalled(node: string): boolean {
    const due = this.#due.get(node);
    return due !== undefined && this.#clock.monotonic() - due > Math.max(1000, this.#graceMs / 4);
  }

  #remainingMs(node: string): number {
    return (this.#heard.get(node) ?? this.#clock.monotonic()) + this.#graceMs - this.#clock.monotonic();
  }
}
