import { expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { Duplicates } from './duplicates.ts';

const at = (address: string, instance = '') => ({ address, instance });

it('tells two hosts with one identity from one that moved or reconnects', async () => {
  const clock = new ManualClock();
  const duplicates = new Duplicates(clock);
  const others = (node: string, ...openers: ReturnType<typeof at>[]): (string | undefined)[] => openers.map((opener) => duplicates.opened(node, opener)?.address);
  expect(others('old', at('10.0.0.1'), at('10.0.0.1'), at('10.0.0.2'), at('10.0.0.2'))).toEqual([undefined, undefined, undefined, undefined]);
  expect(others('copied', at('10.0.0.1', 'x'), at('10.0.0.2', 'y'), at('10.0.0.1', 'x'))).toEqual([undefined, undefined, '10.0.0.2']);
  expect(others('behind one address', at('10.0.0.1', 'x'), at('10.0.0.1', 'y'), at('10.0.0.1', 'x'))).toEqual([undefined, undefined, '10.0.0.1']);
  expect(others('flapping', at('10.0.0.1', 'x'), at('10.0.0.2', 'x'), at('10.0.0.1', 'x'), at('10.0.0.2', 'x'))).toEqual([undefined, undefined, undefined, undefined]);
  expect(others('restarting', at('10.0.0.1', 'x'), at('10.0.0.1', 'y'), at('10.0.0.1', 'z'))).toEqual([undefined, undefined, undefined]);
  duplicates.opened('slow', at('10.0.0.1', 'x'));
  duplicates.opened('slow', at('10.0.0.2', 'y'));
  await clock.advance(3_600_000);
  expect(duplicates.opened('slow', at('10.0.0.1', 'x'))).toBeUndefined();
});

it('refuses the copy for as long as it tries', async () => {
  const clock = new ManualClock();
  const duplicates = new Duplicates(clock);
  for (const instance of ['first', 'copy', 'first']) duplicates.opened('n', at('10.0.0.1', instance));
  for (let i = 0; i < 10; i++) {
    expect([duplicates.isCopy('n', 'copy'), duplicates.isCopy('n', 'first'), duplicates.isCopy('n', ''), duplicates.isCopy('m', 'copy')]).toEqual([true, false, false, false]);
    await clock.advance(5 * 60_000);
  }
  await clock.advance(6 * 60_000);
  expect(duplicates.isCopy('n', 'copy')).toBe(false);
});
