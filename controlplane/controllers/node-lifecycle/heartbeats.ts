import type { Clock } from '#common/clock.ts';

/**
 * When each node was last heard of, on this process's monotonic clock: a node's own clock is never trusted,
 * and silence from before this process started is not counted.
 */
export class Heartbeats {
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #heard = new Map<string, number>();

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
  }

  isLost(node: string): boolean {
    return this.#remainingMs(node) <= 0;
  }

  /** Silent for half the grace period. */
  isOverdue(node: string): boolean {
    return this.#remainingMs(node) <= this.#graceMs / 2;
  }

  /** Gives every node the full grace period from now. */
  restart(): void {
    for (const node of this.#heard.keys()) this.expectAnew(node);
  }

  /** Gives the node the full grace period from now. */
  expectAnew(node: string): void {
    this.#heard.set(node, this.#clock.monotonic());
  }

  /** How long until `node` would be lost; 0 when it is. */
  remainingMs(node: string): number {
    return Math.max(0, this.#remainingMs(node));
  }

  #remainingMs(node: string): number {
    return (this.#heard.get(node) ?? this.#clock.monotonic()) + this.#graceMs - this.#clock.monotonic();
  }
}
