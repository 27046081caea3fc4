import type { FieldSchedule, Schedule } from './schedule.ts';
import type { TimeZone } from './time-zone.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const horizonMs = 5 * 366 * dayMs;

/**
 * The next time after `afterMs` (epoch) that a schedule names, or undefined when there is none within five years.
 * Where clocks are put forward, times that they leap over are left out; where they are put back, an hour may be met twice.
 */
export function nextTime(schedule: Schedule, afterMs: number, zone: TimeZone): number | undefined {
  if ('everyMs' in schedule) return Math.floor(afterMs / 1000) * 1000 + schedule.everyMs;
  let at = (Math.floor(afterMs / minuteMs) + 1) * minuteMs;
  const end = at + horizonMs;
  while (at < end) {
    const wall = zone.wall(at);
    const later = nextCandidate(schedule, wall);
    if (later === wall) return at;
    // Within a day time runs on; to another day it is the calendar that counts.
    const next = later - wall < hourMs ? at + (later - wall) : zone.epoch(later);
    at = Math.max(next, at + minuteMs);
  }
  return undefined;
}

/** `wall` itself when the schedule names it, or the start of the next minute, hour, day or month that may hold a match. */
function nextCandidate(schedule: FieldSchedule, wall: number): number {
  const date = new Date(wall);
  if (!schedule.months.values.has(date.getUTCMonth() + 1)) return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
  const dayStart = wall - (wall % dayMs);
  if (!dayMatches(schedule, date)) return dayStart + dayMs;
  if (!schedule.hours.values.has(date.getUTCHours())) return wall - (wall % hourMs) + hourMs;
  const minute = date.getUTCMinutes();
  for (let m = minute; m < 60; m++) if (schedule.minutes.values.has(m)) return wall + (m - minute) * minuteMs;
  return wall - (wall % hourMs) + hourMs;
}

/** A day is named by either of the day fields when both name days, as cron has always had it. */
function dayMatches({ days, weekdays }: FieldSchedule, date: Date): boolean {
  const byDay = days.values.has(date.getUTCDate());
  const byWeekday = weekdays.values.has(date.getUTCDay());
  return days.any || weekdays.any ? byDay && byWeekday : byDay || byWeekday;
}
