/**
 * Runs `work` `count` times in batches of 1, 2, 4, …: when the first fails (a quota, a broken webhook) the
 * others are not tried. Resolves with how many succeeded and the first error.
 */
export async function slowStart(count: number, signal: AbortSignal, work: () => Promise<void>): Promise<{ succeeded: number; error: unknown }> {
  let succeeded = 0;
  for (let batch = 1; succeeded < count && !signal.aborted; batch *= 2) {
    const results = await Promise.allSettled(Array.from({ length: Math.min(batch, count - succeeded) }, () => work()));
    succeeded += results.filter((result) => result.status === 'fulfilled').length;
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) return { succeeded, error: failed.reason };
  }
  return { succeeded, error: undefined };
}
