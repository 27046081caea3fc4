import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { preparing } from './inhibitor.ts';
import { parseShutdownGroups, shutdownGroups } from './policy.ts';
import { GracefulShutdown } from './shutdown.ts';

it('reads what systemd says, and nothing else', () => {
  const line = (member: string, ...data: unknown[]): string => JSON.stringify({ type: 'signal', member, payload: { type: 'b', data } });
  expect(['held', line('PrepareForShutdown', true), line('PrepareForShutdown', false), line('PrepareForSleep', true), line('PrepareForShutdown', 'yes'), '', '{', '[]', 'Monitoring bus message stream.'].map(preparing))
    .toEqual([false, true, false, undefined, undefined, undefined, undefined, undefined, undefined]);
});

it('has groups by priority, and one way to say so', () => {
  expect(parseShutdownGroups('1000=20s, -5=1m,0=500ms')).toEqual([{ priority: -5, graceMs: 60_000 }, { priority: 0, graceMs: 500 }, { priority: 1000, graceMs: 20_000 }]);
  for (const wrong of ['high=1s', '1000', '1000=soon']) expect(() => parseShutdownGroups(wrong)).toThrow();
  expect(shutdownGroups({ shutdownGraceMs: 0, shutdownCriticalGraceMs: 0, shutdownGraceByPriority: '' })).toEqual([]);
  expect(() => shutdownGroups({ shutdownGraceMs: 1, shutdownCriticalGraceMs: 0, shutdownGraceByPriority: '0=1s' })).toThrow('cannot both be given');
});

it('ends ordinary pods first, then those of the system, lets the host go, and goes on where it stays', async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const calls: string[] = [];
  const said = [[false, true], [false]];
  const turns: PromiseWithResolvers<undefined>[] = [];
  const shutdown = new GracefulShutdown({
    clock, log: silentLog, changed: () => { calls.push(shutdown.notReady ?? 'ready'); },
    pods: { halt: (below, graceSeconds) => { calls.push(`halt ${String(below)} ${String(graceSeconds)}`); return below === Infinity ? Promise.reject(new Error('slow')) : Promise.resolve(); }, resume: () => { calls.push('resume'); } },
    async *preparations(signal) {
      try {
        yield* said.shift() ?? [];
        const turn = Promise.withResolvers<undefined>();
        turns.push(turn);
        signal.addEventListener('abort', () => { turn.resolve(undefined); }, { once: true });
        await turn.promise;
      } finally {
        calls.push('let go');
      }
    },
  }, { groups: shutdownGroups({ shutdownGraceMs: 30_000, shutdownCriticalGraceMs: 10_000, shutdownGraceByPriority: '' }) });
  const running = shutdown.start(stop.signal);
  const until = async (count: number): Promise<void> => { while (calls.length < count) { await clock.advance(100); await new Promise((resolve) => { setImmediate(resolve); }); } };
  await until(4);
  expect(calls).toEqual(['node is shutting down', 'halt 2000000000 19', 'halt Infinity 9', 'let go']);
  await until(6);
  expect(calls.slice(4)).toEqual(['ready', 'resume']);
  stop.abort(new Error('end'));
  await running;
});
