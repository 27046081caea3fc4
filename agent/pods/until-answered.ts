import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';

const retry = { baseMs: 500, maxMs: 30_000, jitter: 0.2 };

/** Does what needs the container runtime, again and again until it succeeds. Rejects when aborted. */
export async function untilAnswered({ clock, log }: { readonly clock: Clock; readonly log: Log }, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  for (let failures = 1; ; failures++) {
    try {
      await work();
      return;
    } catch (error) {
      // What goes wrong while everything ends is no failure of the runtime.
      signal.throwIfAborted();
      log.warn({ err: messageOf(error) }, 'the container runtime does not answer; trying again');
      await clock.sleep(backoffMs(retry, failures, Math.random), signal);
    }
  }
}
