import { setTimeout as sleep } from 'node:timers/promises';

export interface EventuallyOptions {
  /** Completes "waited N ms for ..." in the error. */
  readonly what: string;
  readonly timeoutMs?: number;
  readonly intervalMs?: number;
  /** Asked only on failure: what to print beside the error. */
  readonly explain?: () => string | Promise<string>;
}

/** Waits until `condition` yields something truthy and returns that. What it throws counts as "not yet" and is quoted when time is up. */
export async function eventually<T>(condition: () => T | Promise<T>, options: EventuallyOptions): Promise<NonNullable<Exclude<T, false>>> {
  const timeoutMs = options.timeoutMs ?? 10_000;
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value as NonNullable<Exclude<T, false>>;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= deadline) break;
    await sleep(options.intervalMs ?? 20);
  }
  const explanation = options.explain ? `\n${await options.explain()}` : '';
  const reason = last === undefined ? '' : `: ${last instanceof Error ? last.message : JSON.stringify(last)}`;
  throw new Error(`waited ${String(timeoutMs)} ms for ${options.what}${reason}${explanation}`);
}
