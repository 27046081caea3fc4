import { getHeapStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Clock } from './clock.ts';
import { busyShareMeter } from './busy-share.ts';

/** The memory of this process, as far as it can be collected. */
export interface Memory {
  /** Share of the time since the last question in which the process was busy. */
  busyShare(): number;
  usedBytes(): number;
  /** `thorough`: code that is not needed for now goes, too. */
  collect(thorough: boolean): void;
}

const checkMs = 10_000;
/** A collection costs about 20 ms of CPU, a thorough one four times that; less than this is not worth it. */
const worthBytes = 2 << 20;
/** Once, when a burst is over: nothing comes after it that would make it more. */
const worthAfterBurstBytes = 512 << 10;
const idleShare = 0.05;

/**
 * Gives garbage back once a burst of work is over. V8 collects when it needs room; a process that has become idle
 * needs none, and would hold what its start or its last burst left for hours.
 */
export function collectWhenIdle(clock: Clock, memory: Memory, signal: AbortSignal): void {
  let kept = 0;
  let leastKept = Infinity;
  let burst = true;
  const collect = (thorough: boolean): void => {
    memory.collect(thorough);
    kept = memory.usedBytes();
    if (thorough) leastKept = kept;
  };
  const look = (): void => {
    if (signal.aborted) return;
    if (memory.busyShare() >= idleShare) {
      burst = true;
    } else if (memory.usedBytes() - kept > (burst ? worthAfterBurstBytes : worthBytes)) {
      collect(burst);
      // On a machine that has no time for it a burst may look like idleness, and what it leaves like what is needed.
      if (kept - leastKept > worthAfterBurstBytes) collect(true);
      burst = false;
    }
    clock.after(checkMs, look);
  };
  clock.after(checkMs, look);
}

/** Of this process. */
export function processMemory(): Memory {
  let gc: NodeJS.GCFunction | undefined;
  return {
    busyShare: busyShareMeter(),
    usedBytes: () => getHeapStatistics().used_heap_size,
    collect: (thorough) => {
      gc ??= collector();
      // Twice: code that was not used since the first time is dropped by the second.
      if (thorough) for (let i = 0; i < 2; i++) gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
      else gc({ type: 'major', execution: 'sync' });
    },
  };
}

/** V8's own, without Node's flag --expose-gc: any flag of that sort makes Node compile its modules instead of taking them from its executable. */
function collector(): NodeJS.GCFunction {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as NodeJS.GCFunction;
  setFlagsFromString('--no-expose-gc');
  return gc;
}
