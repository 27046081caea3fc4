import { setFlagsFromString } from 'node:v8';
import type { Clock } from './clock.ts';
import { busyShareMeter } from './event-loop.ts';

/** V8 in this process. */
export interface Engine {
  busyShare(): number;
  /** Lets V8 optimize from now on. */
  optimize(): void;
}

/** A start is always busy, and over soon. */
const graceMs = 10_000;
const checkMs = 1000;
/** A process that is never busier than this does without; one that is, in all, for so long above it does not. */
const quietShare = 0.03;
const enoughMs = 1500;

/**
 * A process started without V8's optimizing compilers holds 12 MB less, and while it mostly waits it misses nothing.
 * Once it has had enough to do it gets them after all, for good: a burst of two seconds is enough, and so is half a
 * minute at a tenth of a core.
 */
export function optimizeWhenBusy(clock: Clock, engine: Engine, signal: AbortSignal): void {
  let busyMs = 0;
  const look = (): void => {
    if (signal.aborted) return;
    busyMs = Math.max(0, busyMs + (engine.busyShare() - quietShare) * checkMs);
    if (busyMs >= enoughMs) engine.optimize();
    else clock.after(checkMs, look);
  };
  clock.after(graceMs, () => {
    engine.busyShare();
    clock.after(checkMs, look);
  });
}

export function thisEngine(): Engine {
  return {
    busyShare: busyShareMeter(),
    optimize: () => { for (const flag of ['--sparkplug', '--maglev', '--turbofan']) setFlagsFromString(flag); },
  };
}
