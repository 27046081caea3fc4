import type { Clock } from '#common/clock.ts';

const windowMs = 10 * 60_000;

interface Opened { readonly address: string; readonly atMs: number }

/** Notices hosts that take the session of one node from each other, as copies of a state directory do. */
export class Duplicates {
  readonly #clock: Clock;
  /** The last openings by node, oldest first. */
  readonly #opened = new Map<string, readonly Opened[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A session was opened. The other address when this one had the node before it; a host that has moved does not come back. */
  opened(node: string, address: string): string | undefined {
    const atMs = this.#clock.monotonic();
    const recent = (this.#opened.get(node) ?? []).filter((opened) => atMs - opened.atMs < windowMs);
    const last = recent.at(-1)?.address;
    this.#opened.set(node, last === address ? recent : [...recent, { address, atMs }].slice(-2));
    return last !== address && recent.at(-2)?.address === address ? last : undefined;
  }

  forget(node: string): void {
    this.#opened.delete(node);
  }
}
