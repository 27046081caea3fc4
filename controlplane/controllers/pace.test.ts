import { describe, expect, it } from 'vitest';
import { ManualClock } from '#common/clock.ts';
import { Pace } from './pace.ts';

describe('the pace of looks', () => {
  it('is free for what has few parts', () => {
    const pace = new Pace(new ManualClock());
    expect([1, 2, 3].map(() => pace.waitMs('a', 100))).toEqual([0, 0, 0]);
  });

  it.each([[101, 101], [600, 600], [3000, 1000]])('with %i parts is one in %i ms', async (parts, gapMs) => {
    const clock = new ManualClock();
    const pace = new Pace(clock);
    expect([pace.waitMs('a', parts), pace.waitMs('a', parts), pace.waitMs('b', parts)]).toEqual([0, gapMs, 0]);
    expect([...pace.awake(['a', 'b'])]).toEqual(['b']);
    await clock.advance(gapMs);
    expect([pace.waitMs('a', parts), ...pace.awake(['a'])]).toEqual([0, 'a']);
  });

  it('forgets what is gone', () => {
    const pace = new Pace(new ManualClock());
    for (let i = 0; i < 2; i++) pace.waitMs('a', 500);
    pace.forget('a');
    expect([[...pace.awake(['a'])], pace.waitMs('a', 500)]).toEqual([['a'], 0]);
  });
});
