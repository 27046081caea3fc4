import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { Supervision } from './supervision.ts';

function make(env: Record<string, string>, fails = false) {
  const clock = new ManualClock();
  const told: string[] = [];
  const supervision = new Supervision({ clock, log: silentLog, notify: async (words) => { told.push(words.join(' ')); return fails ? Promise.reject(new Error('not there')) : Promise.resolve(); } }, env);
  return { clock, told, supervision, stop: new AbortController() };
}

it('says nothing when nobody asks', async () => {
  const { supervision, told, clock, stop } = make({ WATCHDOG_USEC: '1000000' });
  await supervision.ready('up', stop.signal);
  await clock.advance(10_000);
  expect(told).toEqual([]);
});

it.each([false, true])('says that it is ready, that it lives, and that it ends (telling fails: %s)', async (fails) => {
  const { supervision, told, clock, stop } = make({ NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '2000000' }, fails);
  await supervision.ready('up', stop.signal);
  await clock.advance(2500);
  expect(told).toEqual(['--ready --status=up', 'WATCHDOG=1', 'WATCHDOG=1']);
  stop.abort();
  await clock.advance(5000);
  expect(told.slice(3)).toEqual(['STOPPING=1']);
});

it('does not beat when silence is no death', async () => {
  const { supervision, told, clock, stop } = make({ NOTIFY_SOCKET: '/run/x' });
  await supervision.ready('up', stop.signal);
  await clock.advance(1e6);
  expect(told).toHaveLength(1);
});

it('says that it ends, and lives no more, when the end came while it said that it is ready', async () => {
  const { supervision, told, clock, stop } = make({ NOTIFY_SOCKET: '/run/x', WATCHDOG_USEC: '2000000' });
  const ready = supervision.ready('up', stop.signal);
  stop.abort();
  await ready;
  await clock.advance(5000);
  expect(told).toEqual(['--ready --status=up', 'STOPPING=1']);
});
