import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { Duplicates } from './duplicates.ts';

it('tells two hosts with one identity from one that moved or reconnects', async () => {
  const clock = new ManualClock();
  const duplicates = new Duplicates(clock);
  expect(['10.0.0.1', '10.0.0.1', '10.0.0.2', '10.0.0.2'].map((address) => duplicates.opened('moved', address))).toEqual([undefined, undefined, undefined, undefined]);
  expect(['10.0.0.1', '10.0.0.2', '10.0.0.1', '10.0.0.2'].map((address) => duplicates.opened('copied', address))).toEqual([undefined, undefined, '10.0.0.2', '10.0.0.1']);
  duplicates.opened('slow', '10.0.0.1');
  duplicates.opened('slow', '10.0.0.2');
  await clock.advance(3_600_000);
  expect(duplicates.opened('slow', '10.0.0.1')).toBeUndefined();
});
