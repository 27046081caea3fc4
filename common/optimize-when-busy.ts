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
const busyShare = 0.6;
const busyChecks = 2;

/**
 * A process started without V8's optimizing compilers holds 12 MB less, and while it mostly waits it misses nothing.
 * Once it has been busy for two seconds on end it gets them after all, for good.
 */
export function optimizeWhenBusy(clock: Clock, engine: Engine, signal: AbortSignal): void {
  let busy = 0;
  const look = (): void => {
    if (signal.aborted) return;
    busy = engine.busyShare() < busyShare ? 0 : busy + 1;
    if (busy === busyChecks) engine.optimize();
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
