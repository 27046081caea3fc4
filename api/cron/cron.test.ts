import { describe, expect, it } from 'vitest';
import { nextTime } from './next.ts';
import { parseSchedule, scheduleProblem } from './schedule.ts';
import { timeZone, timeZoneProblem } from './time-zone.ts';

const next = (schedule: string, after: string, zone?: string): string | undefined => {
  const at = nextTime(parseSchedule(schedule), Date.parse(after), timeZone(zone));
  return at === undefined ? undefined : new Date(at).toISOString().replace(':00.000Z', 'Z');
};

describe('schedules', () => {
  it.each([
    ['*/15 * * * *', '2026-01-01T00:00:10Z', '2026-01-01T00:15Z'],
    ['30 8 * * mon-fri', '2026-01-02T09:00:00Z', '2026-01-05T08:30Z'],
    ['0 0 31 * *', '2026-01-31T00:00:00Z', '2026-03-31T00:00Z'],
    ['0 0 29 2 *', '2026-01-01T00:00:00Z', '2028-02-29T00:00Z'],
    ['0 0 13 * 5', '2026-01-01T00:00:00Z', '2026-01-02T00:00Z'],
    ['0 0 */2 * 5', '2026-01-01T00:00:00Z', '2026-01-02T00:00Z'],
    ['5/20 1,3 * Jan ?', '2026-01-01T01:45:00Z', '2026-01-01T03:05Z'],
    ['@weekly', '2026-01-01T00:00:00Z', '2026-01-04T00:00Z'],
    ['@every 90m', '2026-01-01T00:00:00Z', '2026-01-01T01:30Z'],
    ['0 0 31 2 *', '2026-01-01T00:00:00Z', undefined],
  ])('%s after %s is %s', (schedule, after, expected) => {
    expect(next(schedule, after)).toBe(expected);
  });

  it.each([
    // Put forward at 02:00, and back at 02:00.
    ['30 2 * * *', '2026-03-08T00:00:00-05:00', 'America/New_York', '2026-03-09T06:30Z'],
    ['0 3 * * *', '2026-03-08T00:00:00-05:00', 'America/New_York', '2026-03-08T07:00Z'],
    ['30 1 * * *', '2026-11-01T00:00:00-04:00', 'America/New_York', '2026-11-01T05:30Z'],
    ['30 1 * * *', '2026-11-01T01:30:00-04:00', 'America/New_York', '2026-11-01T06:30Z'],
    ['0 8 * * *', '2026-07-01T07:00:00Z', 'Europe/Berlin', '2026-07-02T06:00Z'],
    ['15 0 * * *', '2026-01-01T00:00:00Z', 'Asia/Kolkata', '2026-01-01T18:45Z'],
  ])('%s after %s in %s is %s', (schedule, after, zone, expected) => {
    expect(next(schedule, after, zone)).toBe(expected);
  });

  it.each([
    ['', 'empty spec string'],
    ['* * * *', 'expected exactly 5 fields, found 4: [* * * *]'],
    ['60 * * * *', 'end of range (60) above maximum (59): 60'],
    ['* * 0 * *', 'beginning of range (0) below minimum (1): 0'],
    ['5-2 * * * *', 'beginning of range (5) beyond end of range (2): 5-2'],
    ['*/0 * * * *', 'step of range should be a positive number: */0'],
    ['1-2-3 * * * *', 'too many hyphens: 1-2-3'],
    ['1/2/3 * * * *', 'too many slashes: 1/2/3'],
    ['x * * * *', 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'],
    ['* * * * 7', 'end of range (7) above maximum (6): 7'],
    ['@nightly', 'unrecognized descriptor: @nightly'],
    ['@every soon', 'failed to parse duration @every soon: time: invalid duration "soon"'],
  ])('refuses %j', (schedule, message) => {
    expect(scheduleProblem(schedule)).toBe(message);
  });

  it('knows time zones', () => {
    for (const name of ['UTC', 'Europe/Berlin', 'America/Argentina/Buenos_Aires', 'Etc/GMT+3']) expect(timeZoneProblem(name)).toBeUndefined();
    expect(timeZoneProblem('')).toBe('timeZone must be nil or non-empty string');
    expect(timeZoneProblem('local')).toMatch(/explicit time zone/);
    for (const name of ['Mars/Phobos', '+01:00', '../etc', 'a b']) expect(timeZoneProblem(name)).toBe(`unknown time zone ${name}`);
  });
});
