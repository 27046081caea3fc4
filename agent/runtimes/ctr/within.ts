import type { Clock } from '#common/clock.ts';

/** Resolves with true when the work is done, and with false when it takes longer; the work itself goes on then. */
export async function within(work: Promise<unknown>, ms: number, clock: Clock): Promise<boolean> {
  let cancel: () => void = () => undefined;
  const late = new Promise<boolean>((resolve) => { cancel = clock.after(ms, () => { resolve(false); }); });
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    cancel();
  }
}
