/** A function that tells the share of the time since it was last called in which this process was busy, from 0 to 1. */
export function busyShareMeter(): () => number {
  let before = performance.eventLoopUtilization();
  return () => {
    const now = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(now, before);
    before = now;
    return utilization;
  };
}
