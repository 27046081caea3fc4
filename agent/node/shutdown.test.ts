import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { preparing } from './inhibitor.ts';
import { GracefulShutdown } from './shutdown.ts';

it('reads what systemd says, and nothing else', () => {
  const line = (member: string, ...data: unknown[]): string => JSON.stringify({ type: 'signal', member, payload: { type: 'b', data } });
  expect(['held', line('PrepareForShutdown', true), line('PrepareForShutdown', false), line('PrepareForSleep', true), line('PrepareForShutdown', 'yes'), '', '{', '[]', 'Monitoring bus message stream.'].map(preparing))
    .toEqual([false, true, false, undefined, undefined, undefined, undefined, undefined, undefined]);
});

it('ends ordinary pods first, then those of the system, lets the host go, and goes on where it stays', async () => {
  const clock = new ManualClock();
  const stop = new AbortController();
  const calls: string[] = [];
  const said = [[false, true], [false]];
  const turns: PromiseWithResolvers<undefined>[] = [];
  const shutdown = new GracefulShutdown({
    clock, log: silentLog, changed: () => { calls.push(shutdown.notReady ?? 'ready'); },
    pods: { halt: (critical, graceSeconds) => { calls.push(`halt ${critical ? 'critical' : 'ordinary'} ${String(graceSeconds)}`); return critical ? Promise.reject(new Error('slow')) : Promise.resolve(); }, resume: () => { calls.push('resume'); } },
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
  }, { graceMs: 30_000, criticalMs: 10_000 });
  const running = shutdown.start(stop.signal);
  const until = async (count: number): Promise<void> => { while (calls.length < count) { await clock.advance(100); await new Promise((resolve) => { setImmediate(resolve); }); } };
  await until(4);
  expect(calls).toEqual(['node is shutting down', 'halt ordinary 19', 'halt critical 9', 'let go']);
  await until(6);
  expect(calls.slice(4)).toEqual(['ready', 'resume']);
  stop.abort(new Error('end'));
  await running;
});
