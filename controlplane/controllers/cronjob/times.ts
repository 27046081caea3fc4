import type { CronJob } from '#api/gen/types.ts';
import { nextTime } from '#api/cron/next.ts';
import { parseSchedule, type Schedule } from '#api/cron/schedule.ts';
import { timeZone, type TimeZone } from '#api/cron/time-zone.ts';

/** More than these are told of: the clock was wrong, or nobody was there for long. */
const manyMissed = 100;

export interface Due {
  /** The last time that has come since the last start; the ones before it are not made up for. */
  readonly atMs: number | undefined;
  readonly tooMany: boolean;
  /** The next time to come; undefined when the schedule never fires again. */
  readonly nextMs: number | undefined;
}

export interface Timetable { readonly schedule: Schedule; readonly zone: TimeZone }

/** Throws what is wrong with the schedule. */
export function timetableOf({ spec }: CronJob): Timetable {
  const schedule = parseSchedule(spec.schedule);
  return { schedule, zone: timeZone(spec.timeZone ?? ('timeZone' in schedule ? schedule.timeZone : undefined)) };
}

/** Which start is due. Starts that are later than `startingDeadlineSeconds` allows are not looked for. */
export function due(cronJob: CronJob, { schedule, zone }: Timetable, nowMs: number): Due {
  const sinceMs = Date.parse(cronJob.status?.lastScheduleTime ?? cronJob.metadata?.creationTimestamp ?? '') || nowMs;
  const deadline = cronJob.spec.startingDeadlineSeconds;
  const fromMs = deadline === undefined ? sinceMs : Math.max(sinceMs, nowMs - deadline * 1000);
  const atMs = 'everyMs' in schedule ? lastEvery(schedule.everyMs, fromMs, nowMs) : lastTime(schedule, zone, fromMs, nowMs);
  return { atMs, tooMany: countTo(manyMissed, schedule, zone, fromMs, nowMs) > manyMissed, nextMs: nextTime(schedule, Math.max(atMs ?? sinceMs, 'everyMs' in schedule ? 0 : nowMs), zone) };
}

function lastEvery(everyMs: number, fromMs: number, nowMs: number): number | undefined {
  const times = Math.floor((nowMs - fromMs) / everyMs);
  return times > 0 ? fromMs + times * everyMs : undefined;
}

/** Looks back twice as far each time, so that years of downtime cost no more than a day of it. */
function lastTime(schedule: Schedule, zone: TimeZone, fromMs: number, nowMs: number): number | undefined {
  for (let backMs = 60_000; ; backMs *= 2) {
    const startMs = Math.max(fromMs, nowMs - backMs);
    let last: number | undefined;
    for (let t = nextTime(schedule, startMs, zone); t !== undefined && t <= nowMs; t = nextTime(schedule, t, zone)) last = t;
    if (last !== undefined || startMs === fromMs || nowMs < fromMs) return last;
  }
}

function countTo(limit: number, schedule: Schedule, zone: TimeZone, fromMs: number, nowMs: number): number {
  let count = 0;
  for (let t = nextTime(schedule, fromMs, zone); t !== undefined && t <= nowMs && count <= limit; t = nextTime(schedule, t, zone)) count += 1;
  return count;
}
