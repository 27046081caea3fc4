import type { BackoffConfig } from '#common/backoff.ts';

/** Between dials: 1 s to 30 s, up to half of it random so that a fleet does not come back all at once. */
export const dialBackoff: BackoffConfig = { baseMs: 1000, maxMs: 30_000, jitter: 0.5 };
