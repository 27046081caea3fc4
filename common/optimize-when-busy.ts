import { setFlagsFromString } from 'node:v8';
import { busyShareMeter } from './busy-share.ts';
import type { Clock } from './clock.ts';

/** V8 in this process. */
export interface Engine {
  busyShare(): number;
  /** Lets V8 use these compilers from now on. */
  optimize(compilers: readonly Compiler[]): void;
}

export type Compiler = 'sparkplug' | 'maglev' | 'turbofan';

/** A start is always busy, and over soon. */
const graceMs = 10_000;
const checkMs = 1000;
/** A process that is never busier than this does without; one that is, in all, for so long above it does not. */
const quietShare = 0.03;
/** Sparkplug and Maglev get most of the speed for 2.4 MB of their own code; TurboFan has the rest for 5 more. */
const stages: readonly { readonly afterMs: number; readonly compilers: readonly Compiler[] }[] = [
  { afterMs: 3000, compilers: ['sparkplug', 'maglev'] },
  { afterMs: 15_000, compilers: ['turbofan'] },
];

/**
 * A process started without V8's optimizing compilers holds 12 MB less, and while it mostly waits it misses nothing.
 * Once it has had enough to do it gets them after all, one after the other and for good, because code that has been
 * used stays in memory: a burst that makes 30 pods is too little, one of 100 is enough, and so is a minute at a tenth of a core.
 */
export function optimizeWhenBusy(clock: Clock, engine: Engine, signal: AbortSignal): void {
  let busyMs = 0;
  let [next, ...later] = stages;
  const look = (): void => {
    if (signal.aborted) return;
    busyMs = Math.max(0, busyMs + (engine.busyShare() - quietShare) * checkMs);
    if (next && busyMs >= next.afterMs) {
      engine.optimize(next.compilers);
      [next, ...later] = later;
    }
    if (next) clock.after(checkMs, look);
  };
  clock.after(graceMs, () => {
    engine.busyShare();
    clock.after(checkMs, look);
  });
}

export function thisEngine(): Engine {
  return {
    busyShare: busyShareMeter(),
    optimize: (compilers) => { for (const compiler of compilers) setFlagsFromString(`--${compiler}`); },
  };
}
