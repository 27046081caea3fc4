import type { Pod } from '#api/gen/types.ts';
import { finishedAtMs, type BackoffRecord } from './snapshot.ts';

const firstMs = 10_000;
const longestMs = 600_000;

/** The record after these pods have ended: a success forgets the failures before it. */
export function nextRecord(record: BackoffRecord, succeeded: readonly Pod[], failed: readonly Pod[]): BackoffRecord {
  const lastSuccessMs = succeeded.length > 0 ? Math.max(...succeeded.map(finishedAtMs)) : undefined;
  const after = failed.map(finishedAtMs).filter((ms) => lastSuccessMs === undefined || ms > lastSuccessMs);
  const before = lastSuccessMs === undefined ? record : { failures: 0, lastFailureMs: 0 };
  return { failures: before.failures + after.length, lastFailureMs: Math.max(before.lastFailureMs, ...after) };
}

/** How long until the next pod may be made: ten seconds after the first failure, twice as long after each further one. */
export function remainingMs({ failures, lastFailureMs }: BackoffRecord, nowMs: number): number {
  if (failures === 0) return 0;
  const waitMs = Math.min(longestMs, firstMs * 2 ** Math.min(failures - 1, 30));
  // A failure of times to come says that a clock was set back: nobody waits for longer than the pause itself.
  return Math.max(0, Math.min(waitMs, lastFailureMs + waitMs - nowMs));
}
