import { backoffMs, type BackoffConfig } from '#common/backoff.ts';
import { ProbeCounts } from './probes/counts.ts';
import type { ContainerProbes } from './probes/probes.ts';
import type { CrashBackoff, Failure } from './types.ts';

export const imageBackoff: BackoffConfig = { baseMs: 10_000, maxMs: 300_000, jitter: 0 };
export const configBackoff: BackoffConfig = { baseMs: 2000, maxMs: 60_000, jitter: 0 };

/** What a worker remembers of its pod beyond what the runtime tells. Losing it, as an agent restart does, is harmless. */
export class PodMemory {
  readonly failures = new Map<string, Failure>();
  readonly crashes = new Map<string, CrashBackoff>();
  readonly probes = new Map<string, ContainerProbes>();
  readonly probeCounts = new ProbeCounts();
  /** PreStop hooks that have begun, by container id: each runs once. */
  readonly preStops = new Map<string, Promise<void>>();
  readonly terminationMessages = new Map<string, string>();
  /** By container id, the monotonic time at which its end was first seen. */
  readonly ended = new Map<string, number>();
  /** Sandboxes that were stopped by this process. */
  readonly stopped = new Set<string>();
  /** Set while volumes that mirror objects could not be brought up to date. */
  refresh: Failure | undefined;
  /** Monotonic; when a token in a volume has to be renewed. */
  renewMs: number | undefined;
  /** The sandbox for which volumes and hosts file were made by this process. */
  preparedFor: string | undefined;

  /** `nowMs` is monotonic. */
  fail(key: string, reason: string, message: string, nowMs: number, backoff: BackoffConfig): void {
    this.failures.set(key, failureAfter(this.failures.get(key), reason, message, nowMs, backoff));
  }

  /** What was missing may be there now: tries again at once, keeping the waits for images. */
  retryNow(): void {
    for (const [key, failure] of this.failures) {
      if (!failure.reason.includes('Image')) this.failures.set(key, { ...failure, untilMs: 0 });
    }
  }

  /** What was not here may have come: ends the waits for images. False when there are none. */
  retryImages(): boolean {
    const waits = [...this.failures].filter(([, { reason }]) => reason.includes('Image'));
    for (const [key, failure] of waits) this.failures.set(key, { ...failure, untilMs: 0 });
    return waits.length > 0;
  }

  /** Drops what belongs to containers and sandboxes that are gone. */
  forget(present: ReadonlySet<string>): void {
    for (const collection of [this.preStops, this.terminationMessages, this.ended, this.stopped]) {
      for (const id of collection.keys()) if (!present.has(id)) collection.delete(id);
    }
    for (const [id, probes] of this.probes) {
      if (present.has(id)) continue;
      probes.stop();
      this.probes.delete(id);
    }
  }
}

/** The failure that follows `before`, with the next longer wait. */
export function failureAfter(before: Failure | undefined, reason: string, message: string, nowMs: number, backoff: BackoffConfig): Failure {
  const count = (before?.count ?? 0) + 1;
  return { reason, message, count, untilMs: nowMs + backoffMs(backoff, count, () => 0) };
}
