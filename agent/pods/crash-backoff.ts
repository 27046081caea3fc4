import type { CrashBackoff } from './types.ts';

const firstMs = 10_000;
const maxMs = 300_000;
/** A container that ran this long starts from the beginning. */
const forgetMs = 600_000;

/** A changed image starts without the old one's back-off. */
export function crashKey(name: string, specHash: string): string {
  return `${name}/${specHash}`;
}

/** When a container that ended at `endedMs` may be started again; all times are monotonic. The first restart is at once. */
export function restartAtMs(backoff: CrashBackoff | undefined, endedMs: number): number {
  if (!backoff || endedMs - backoff.updatedMs > forgetMs) return 0;
  return endedMs + backoff.delayMs;
}

/** The back-off to keep when a container is restarted now: 10 s, doubling to 5 min. */
export function nextBackoff(backoff: CrashBackoff | undefined, endedMs: number, nowMs: number): CrashBackoff {
  if (!backoff || endedMs - backoff.updatedMs > forgetMs) return { delayMs: firstMs, updatedMs: nowMs };
  return { delayMs: Math.min(maxMs, backoff.delayMs * 2), updatedMs: nowMs };
}
