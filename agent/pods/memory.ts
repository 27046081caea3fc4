import { backoffMs, type BackoffConfig } from '#common/backoff.ts';
import type { ContainerProbes } from './probes/probes.ts';
import type { CrashBackoff, Failure } from './types.ts';

export const imageBackoff: BackoffConfig = { baseMs: 10_000, maxMs: 300_000, jitter: 0 };
export const configBackoff: BackoffConfig = { baseMs: 2000, maxMs: 60_000, jitter: 0 };

/** What a worker remembers of its pod beyond what the runtime tells. Losing it, as an agent restart does, is harmless. */
export class PodMemory {
  readonly failures = new Map<string, Failure>();
  readonly crashes = new Map<string, CrashBackoff>();
  readonly probes = new Map<string, ContainerProbes>();
  readonly terminationMessages = new Map<string, string>();
  /** The sandbox for which volumes and hosts file were made by this process. */
  preparedFor: string | undefined;

  fail(key: string, reason: string, message: string, nowMs: number, backoff: BackoffConfig): Failure {
    const count = (this.failures.get(key)?.count ?? 0) + 1;
    const failure = { reason, message, count, untilMs: nowMs + backoffMs(backoff, count, () => 0) };
    this.failures.set(key, failure);
    return failure;
  }

  /** What was missing may be there now: tries again at once, keeping the waits for images. */
  retryNow(): void {
    for (const [key, failure] of this.failures) {
      if (!failure.reason.includes('Image')) this.failures.set(key, { ...failure, untilMs: 0 });
    }
  }

  /** Drops what belongs to containers that are gone. */
  forget(present: ReadonlySet<string>): void {
    for (const id of this.terminationMessages.keys()) if (!present.has(id)) this.terminationMessages.delete(id);
    for (const [id, probes] of this.probes) {
      if (present.has(id)) continue;
      probes.stop();
      this.probes.delete(id);
    }
  }
}
