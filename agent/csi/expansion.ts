import type { PersistentVolume, PersistentVolumeClaim } from '#api/gen/types.ts';
import { compareQuantities, isQuantity } from '#api/meta/quantity.ts';
import { backoffMs } from '#common/backoff.ts';
import type { VolumeExpansion } from '#agent/session/types.ts';

/** As kubelet tries again. */
const retry = { baseMs: 500, maxMs: 122_000, jitter: 0.1 };
/** What the controller has not done yet, or nobody can do, is not for the node. */
const forNode = new Set<string | undefined>([undefined, 'NodeResizePending', 'NodeResizeInProgress']);

/**
 * Which volumes are to grow on this host, and what came of it. The claim says what pods have been given by now, the
 * volume what its driver's controller has made it; between the two lies the node's part.
 */
export class Expansions {
  /** By volume. */
  readonly #outcomes = new Map<string, VolumeExpansion>();
  /** By volume, what it holds on this host as far as is known: another node may be the first to grow a shared one. */
  readonly #known = new Map<string, string>();
  readonly #failures = new Map<string, { readonly count: number; readonly untilMs: number }>();

  get all(): readonly VolumeExpansion[] { return [...this.#outcomes.values()].sort((a, b) => (a.volume < b.volume ? -1 : 1)); }

  /** What the volume is to grow to; undefined when it is as it should be. */
  wanted(volume: PersistentVolume, claim: PersistentVolumeClaim): string | undefined {
    const name = volume.metadata?.name ?? '';
    const [size, given] = [volume.spec?.capacity?.['storage'], claim.status?.capacity?.['storage']];
    if (!isQuantity(size) || !isQuantity(given) || size === undefined || given === undefined) return undefined;
    const known = this.#known.get(name) ?? given;
    this.#known.set(name, known);
    if (compareQuantities(known, size) >= 0) {
      if (compareQuantities(given, size) >= 0) this.#settle(name);
      return undefined;
    }
    const failed = this.#outcomes.get(name);
    if (failed?.infeasible && failed.capacity === size) return undefined;
    return forNode.has(claim.status?.allocatedResourceStatuses?.['storage']) ? size : undefined;
  }

  /** Milliseconds until another try makes sense; 0 for now. */
  waitMs(volume: string, nowMs: number): number { return Math.max(0, (this.#failures.get(volume)?.untilMs ?? 0) - nowMs); }

  succeeded(volume: string, capacity: string): void {
    this.#known.set(volume, capacity);
    this.#failures.delete(volume);
    this.#outcomes.set(volume, { volume, capacity });
  }

  /** Resolves with the milliseconds after which to try again; undefined for one that is not tried again. */
  failed(volume: string, capacity: string, error: string, infeasible: boolean, nowMs: number): number | undefined {
    this.#outcomes.set(volume, { volume, capacity, error, ...(infeasible && { infeasible }) });
    if (infeasible) return undefined;
    const count = (this.#failures.get(volume)?.count ?? 0) + 1;
    const waitMs = backoffMs(retry, count, Math.random);
    this.#failures.set(volume, { count, untilMs: nowMs + waitMs });
    return waitMs;
  }

  /** The control plane knows what there is to know. */
  #settle(volume: string): void {
    this.#outcomes.delete(volume);
    this.#failures.delete(volume);
  }

  /** No pod of this host has the volume any more. */
  forget(volume: string): void {
    this.#settle(volume);
    this.#known.delete(volume);
  }
}
