const minuteMs = 60_000;
const utcNames = new Set(['', 'UTC', 'Etc/UTC', 'GMT', 'Etc/GMT']);

/** A time on a wall, as milliseconds since 1970 of a clock that knows no zones. */
export type WallMs = number;

/** What the clocks of a place show, and when they show it. Loads the zone's rules when it is made. */
export interface TimeZone {
  wall(epochMs: number): WallMs;
  /** The first moment at or after which clocks show `wall`; where they leap over it, the moment of the leap or soon after. */
  epoch(wall: WallMs): number;
}

const utc: TimeZone = { wall: (epochMs) => epochMs, epoch: (wall) => wall };

/** `Europe/Berlin`; nothing is UTC. Throws RangeError when there is no such zone. */
export function timeZone(name = ''): TimeZone {
  if (utcNames.has(name)) return utc;
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: name, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric', hour: 'numeric', minute: 'numeric', second: 'numeric',
  });
  const wall = (epochMs: number): WallMs => {
    const part: Record<string, number> = {};
    for (const { type, value } of format.formatToParts(epochMs)) if (type !== 'literal') part[type] = Number(value);
    return Date.UTC(part['year'] ?? 0, (part['month'] ?? 1) - 1, part['day'], part['hour'], part['minute'], part['second']) + (((epochMs % 1000) + 1000) % 1000);
  };
  return {
    wall,
    epoch: (at) => {
      // The clocks' lead differs by at most a day's change before and after; the larger one gives the earlier moment.
      const leads = [at - 24 * 60 * minuteMs, at + 24 * 60 * minuteMs].map((moment) => wall(moment) - moment);
      const earlier = at - Math.max(...leads);
      if (wall(earlier) >= at) return earlier;
      return at - Math.min(...leads);
    },
  };
}

/** What is wrong with a CronJob's time zone, or undefined. */
export function timeZoneProblem(name: string): string | undefined {
  if (name === '') return 'timeZone must be nil or non-empty string';
  if (name.toLowerCase() === 'local') return 'timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones';
  try {
    if (!/^[A-Za-z0-9+_-]+(\/[A-Za-z0-9+_-]+)*$/.test(name) || /^[+-]/.test(name)) return `unknown time zone ${name}`;
    timeZone(name);
    return undefined;
  } catch {
    return `unknown time zone ${name}`;
  }
}
