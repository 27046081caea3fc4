import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { Regained } from './regained.ts';

const away = new StatusError('ServiceUnavailable', 'node pi is not connected');
const broken = new StatusError('ServiceUnavailable', 'the node ended the push');

/** Asks a node that fails in these ways before it answers. */
async function join(failures: readonly Error[], tries = 1, stop = new AbortController()): Promise<{ outcome: unknown; said: string[]; tookS: number }> {
  const clock = new ManualClock();
  const said: string[] = [];
  const left = [...failures];
  const began = clock.monotonic();
  let outcome: unknown;
  const joining = new Regained({ clock, say: (text) => { said.push(text); } }, stop.signal).join('pi', () => {
    const failure = left.shift();
    return failure ? Promise.reject(failure) : Promise.resolve('here');
  }, broken, tries).then((value) => { outcome = value; }, (error: unknown) => { outcome = error; });
  for (let i = 0; i < 400 && outcome === undefined; i++) await clock.advance(1000);
  await joining;
  return { outcome, said, tookS: (clock.monotonic() - began) / 1000 };
}

it('asks again with growing waits, and says so', async () => {
  const { outcome, said, tookS } = await join([away, away]);
  expect(outcome).toBe('here');
  expect(said).toEqual([
    'node pi: broke off (the node ended the push); trying again in 1 s, from where it was\n',
    'node pi: broke off (node pi is not connected); trying again in 2 s, from where it was\n',
    'node pi: broke off (node pi is not connected); trying again in 4 s, from where it was\n',
  ]);
  expect(tookS).toBeLessThan(10);
});

it('ends with the last failure after two minutes, where it is hopeless, or when nobody waits any more', async () => {
  const never = await join(Array.from({ length: 99 }, () => away));
  expect([never.outcome, never.said.length]).toEqual([away, 9]);
  expect(never.tookS).toBeGreaterThan(60);
  expect((await join([], 10)).outcome).toBe(broken);
  const refused = new StatusError('Forbidden', 'not for you');
  expect(await join([refused])).toMatchObject({ outcome: refused, said: [expect.any(String)] });
  const stop = new AbortController();
  stop.abort(new Error('interrupted'));
  expect((await join([away], 1, stop)).outcome).toBe(stop.signal.reason);
});
