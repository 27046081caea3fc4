import type { Clock } from './clock.ts';
import type { Runnable } from './lifecycle.ts';
import type { Log } from './log.ts';

export interface RunTogetherDeps {
  readonly clock: Clock;
  readonly log: Log;
}

/** Some of what ends waits for others to answer; what takes longer than this hangs. */
const slowMs = 10_000;

/**
 * Starts all parts with the signal, which must abort with `stop`. One part that cannot go on ends all: half a program is
 * worse than a restart, which a supervisor sees to. Resolves when all have ended; rejects with what the first one failed
 * with. Parts that do not end when told to are named in the log.
 */
export async function runTogether({ clock, log }: RunTogetherDeps, parts: Readonly<Record<string, Runnable | undefined>>, signal: AbortSignal, stop: AbortController): Promise<void> {
  // What is over before it begins is not begun.
  if (signal.aborted) return;
  const open = new Set<string>();
  let failure: { readonly error: unknown } | undefined;
  const running = Object.entries(parts).flatMap(([name, part]) => (part ? [run(name, part)] : []));
  let cancel = (): void => undefined;
  const watch = (): void => { cancel = clock.after(slowMs, () => { log.error({ parts: [...open] }, 'parts that were told to end have not ended'); }); };
  signal.addEventListener('abort', watch, { once: true });
  await Promise.all(running);
  signal.removeEventListener('abort', watch);
  cancel();
  if (failure) throw failure.error;

  async function run(name: string, part: Runnable): Promise<void> {
    open.add(name);
    try {
      await part.start(signal);
    } catch (error) {
      failure ??= { error };
      stop.abort(error);
    } finally {
      open.delete(name);
    }
  }
}
