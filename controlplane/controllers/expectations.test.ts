import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { Expectations } from './expectations.ts';

it('waits until every create and delete was seen', () => {
  const e = new Expectations({ clock: new ManualClock(), attention: { sinceMs: 0 } });
  expect(e.remainingMs('a')).toBe(0);
  e.expect('a', 2, ['x']);
  e.created('a');
  e.deleted('a', 'other');
  e.created('a');
  expect(e.remainingMs('a')).toBeGreaterThan(0);
  e.deleted('a', 'x');
  expect(e.remainingMs('a')).toBe(0);
});

it('gives up after five minutes', async () => {
  const clock = new ManualClock();
  const e = new Expectations({ clock, attention: { sinceMs: 0 } });
  e.expect('a', 1);
  await clock.advance(299_999);
  expect(e.remainingMs('a')).toBe(1);
  await clock.advance(1);
  expect(e.remainingMs('a')).toBe(0);
});

it('ignores what it did not ask for', () => {
  const e = new Expectations({ clock: new ManualClock(), attention: { sinceMs: 0 } });
  e.created('a');
  e.deleted('a', 'x');
  e.expect('a', 1);
  e.created('a', 3);
  expect(e.remainingMs('a')).toBe(0);
});

it('does not give up because the process was stopped for five minutes', async () => {
  const clock = new ManualClock();
  const attention = { sinceMs: 0 };
  const e = new Expectations({ clock, attention });
  e.expect('a', 1);
  await clock.advance(600_000);
  attention.sinceMs = clock.monotonic();
  expect(e.remainingMs('a')).toBe(300_000);
});
