import { messageOf } from './errors.ts';
import type { Log } from './log.ts';

/** What runs: started once, runs until the signal aborts, then resolves when everything it owns is closed. */
export interface Runnable {
  start(signal: AbortSignal): Promise<void>;
}

/** True when `error` is how an aborted wait ends; such an end is not a failure. */
export function isAbort(error: unknown, signal: AbortSignal): boolean {
  return signal.aborted && (error === signal.reason || (error instanceof Error && (error.name === 'AbortError' || error.cause === signal.reason)));
}

/** Resolves when the signal aborts, at once where it has. */
export async function untilAborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => { onAbort(signal, resolve); });
}

/** Calls `end` once the signal aborts, at once where it has: a listener that is added after the abort is never called. Returns what takes it back. */
export function onAbort(signal: AbortSignal, end: () => void): () => void {
  if (signal.aborted) {
    end();
    return () => undefined;
  }
  signal.addEventListener('abort', end, { once: true });
  return () => { signal.removeEventListener('abort', end); };
}

/**
 * Owns background work: every promise that nobody awaits is given to `run`, failures are logged once,
 * and `drain` resolves when all of it has ended.
 */
export class TaskGroup {
  readonly #log: Log;
  readonly #running = new Set<Promise<void>>();

  constructor(log: Log) {
    this.#log = log;
  }

  run(name: string, signal: AbortSignal, work: () => Promise<void>): void {
    const task = (async () => {
      try {
        await work();
      } catch (error) {
        if (!isAbort(error, signal)) this.#log.error({ task: name, err: messageOf(error), stack: error instanceof Error ? error.stack : undefined }, 'background task failed');
      }
    })();
    this.#running.add(task);
    void task.then(() => this.#running.delete(task));
  }

  async drain(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
