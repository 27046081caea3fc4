/**
 * A function that tells how busy this process's main thread was since it was last called, from 0 to 1 of a core. By CPU
 * time: on a loaded machine a thread that has little to do still takes long for it.
 */
export function busyShareMeter(): () => number {
  let before = process.threadCpuUsage();
  let since = performance.now();
  return () => {
    const { user, system } = process.threadCpuUsage(before);
    const passedMs = performance.now() - since;
    before = process.threadCpuUsage();
    since = performance.now();
    return passedMs > 0 ? Math.min(1, (user + system) / 1000 / passedMs) : 0;
  };
}
