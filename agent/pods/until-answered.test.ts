import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { silentLog } from '#common/log.ts';
import { untilAnswered } from './until-answered.ts';

it('goes on until the runtime answers', async () => {
  const clock = new ManualClock();
  let asked = 0;
  const answered = untilAnswered({ clock, log: silentLog }, new AbortController().signal, () => (++asked < 3 ? Promise.reject(new Error('noise')) : Promise.resolve()));
  while (asked < 3) {
    await clock.advance(30_000);
    await new Promise((resolve) => { setImmediate(resolve); });
  }
  await answered;
  expect(asked).toBe(3);
});

it('ends as it is told to, whatever the runtime says then', async () => {
  const stop = new AbortController();
  const ended = untilAnswered({ clock: new ManualClock(), log: silentLog }, stop.signal, () => {
    stop.abort(new Error('the agent ends'));
    return Promise.reject(new Error('noise'));
  });
  await expect(ended).rejects.toThrow('the agent ends');
});
