import type { Clock } from '#common/clock.ts';

const windowMs = 10 * 60_000;

/** Who opened a session: a process of an agent, and where it came from. */
export interface Opener {
  /** Random, of one process; empty for agents that are too old to say it. */
  readonly instance: string;
  readonly address: string;
}

interface Opened extends Opener { readonly atMs: number }

/**
 * Notices hosts that take the session of one node from each other, as copies of a disk or a state directory do. A host may move, and come
 * back to an address that it had; a process that was followed by another one does not come back.
 */
export class Duplicates {
  readonly #clock: Clock;
  /** The last openings by node, oldest first. */
  readonly #opened = new Map<string, readonly Opened[]>();
  /** The process that was found to be the copy, and when it was last refused. */
  readonly #copies = new Map<string, { readonly instance: string; readonly atMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A session was opened. The other opener when this one had the node before it. */
  opened(node: string, opener: Opener): Opener | undefined {
    const atMs = this.#clock.monotonic();
    const recent = (this.#opened.get(node) ?? []).filter((opened) => atMs - opened.atMs < windowMs);
    const last = recent.at(-1);
    const again = last !== undefined && same(last, opener);
    this.#opened.set(node, again ? recent : [...recent, { ...opener, atMs }].slice(-2));
    const before = recent.at(-2);
    if (again || !last || !before || !same(before, opener)) return undefined;
    if (last.instance !== '') this.#copies.set(node, { instance: last.instance, atMs });
    return last;
  }

  /** Whether this process was found to be the copy. Asked for each attempt: for as long as it tries, the other one is left in peace. */
  isCopy(node: string, instance: string): boolean {
    const copy = this.#copies.get(node);
    const atMs = this.#clock.monotonic();
    if (instance === '' || copy?.instance !== instance || atMs - copy.atMs >= windowMs) return false;
    this.#copies.set(node, { instance, atMs });
    return true;
  }

  forget(node: string): void {
    this.#opened.delete(node);
    this.#copies.delete(node);
  }
}

function same(a: Opener, b: Opener): boolean {
  return a.instance === b.instance && (a.instance !== '' || a.address === b.address);
}
