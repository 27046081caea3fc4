import { describe, expect, it } from 'vitest';
import { ManualClock } from './clock.ts';
import type { Log } from './log.ts';
import { runTogether } from './run-together.ts';

describe('runTogether', () => {
  const untilAborted = (signal: AbortSignal): Promise<void> => new Promise((resolve) => { signal.addEventListener('abort', () => { resolve(); }); });

  function begin(parts: Parameters<typeof runTogether>[1]): { readonly said: unknown[]; readonly clock: ManualClock; readonly stop: AbortController; readonly ended: Promise<void> } {
    const said: unknown[] = [];
    const clock = new ManualClock();
    const stop = new AbortController();
    const log = { error: (fields: unknown) => { said.push(fields); } } as unknown as Log;
    return { said, clock, stop, ended: runTogether({ clock, log }, parts, stop.signal, stop) };
  }

  it('ends all when one cannot go on, with its error', async () => {
    const { ended, said, stop } = begin({ lasts: { start: untilAborted }, absent: undefined, fails: { start: () => Promise.reject(new Error('no disk')) } });
    await expect(ended).rejects.toThrow('no disk');
    expect(stop.signal.aborted).toBe(true);
    expect(said).toEqual([]);
  });

  it('begins nothing after the end', async () => {
    const stop = AbortSignal.abort();
    await runTogether({ clock: new ManualClock(), log: {} as Log }, { never: { start: () => Promise.reject(new Error('begun')) } }, stop, new AbortController());
  });

  it('names what does not end when told to', async () => {
    const hangs = Promise.withResolvers<undefined>();
    const { ended, said, clock, stop } = begin({ lasts: { start: untilAborted }, hangs: { start: () => hangs.promise } });
    await clock.advance(60_000);
    expect(said).toEqual([]);
    stop.abort();
    await clock.advance(10_000);
    expect(said).toEqual([{ parts: ['hangs'] }]);
    hangs.resolve(undefined);
    await ended;
  });
});
