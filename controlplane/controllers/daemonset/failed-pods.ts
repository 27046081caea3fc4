import type { Clock } from '#common/clock.ts';

const firstMs = 1000;
const longestMs = 15 * 60_000;

/** How long failed pods are left alone, for each set and node: a node that refuses pods must not be sent them without end. */
export class FailedPods {
  readonly #clock: Clock;
  readonly #known = new Map<string, Map<string, { waitMs: number; untilMs: number }>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** 0 when the failed pod may be replaced now. */
  delayMs(set: string, node: string): number {
    return Math.max(0, (this.#known.get(set)?.get(node)?.untilMs ?? 0) - this.#clock.monotonic());
  }

  /** A failed pod is replaced: the next waits twice as long, unless this one was well for long. */
  note(set: string, node: string): void {
    const nodes = this.#known.get(set) ?? new Map<string, { waitMs: number; untilMs: number }>();
    const before = nodes.get(node);
    const now = this.#clock.monotonic();
    const waitMs = before === undefined || now - before.untilMs > 2 * longestMs ? firstMs : Math.min(longestMs, before.waitMs * 2);
    nodes.set(node, { waitMs, untilMs: now + waitMs });
    this.#known.set(set, nodes);
  }

  forget(set: string): void {
    this.#known.delete(set);
  }
}
