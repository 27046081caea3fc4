import { CelError } from '../errors.ts';
import { define, type Overload } from '../functions.ts';
import { Duration, Timestamp } from '../values.ts';

const nsPerSecond = 1_000_000_000n;
const instant = /^(\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2})(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d{2}:\d{2})$/;
const day = /^\d{4}-\d{2}-\d{2}$/;

/** RFC 3339. Throws CelError. */
export function parseTimestamp(text: string): Timestamp {
  const match = instant.exec(text);
  const ms = match ? Date.parse(`${(match[1] ?? '').toUpperCase()}${(match[3] ?? '').toUpperCase()}`) : Number.NaN;
  if (Number.isNaN(ms)) throw new CelError(`parsing time "${text}": cannot parse as a time of RFC 3339`);
  return new Timestamp(BigInt(ms) * 1_000_000n + BigInt((match?.[2] ?? '').padEnd(9, '0')));
}

/** A day of a schema's format `date`, as its first moment. */
export function parseDay(text: string): Timestamp {
  if (!day.test(text)) throw new CelError(`parsing time "${text}": cannot parse as a date`);
  return parseTimestamp(`${text}T00:00:00Z`);
}

export function formatTimestamp({ ns }: Timestamp): string {
  const [seconds, fraction] = floor(ns, nsPerSecond);
  const text = new Date(Number(seconds) * 1000).toISOString().replace(/\.\d+Z$/, '');
  return `${text}${fraction === 0n ? '' : `.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`}Z`;
}

const units: Readonly<Record<string, bigint>> = { ns: 1n, us: 1000n, 'µs': 1000n, 'μs': 1000n, ms: 1_000_000n, s: nsPerSecond, m: 60n * nsPerSecond, h: 3600n * nsPerSecond };

/** Go's durations: `1h30m`, `-1.5s`. Throws CelError. */
export function parseDuration(text: string): Duration {
  const fail = (): CelError => new CelError(`time: invalid duration "${text}"`);
  const body = text.replace(/^[+-]/, '');
  if (body === '0') return new Duration(0n);
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(body)) throw fail();
  let total = 0n;
  for (const [, whole = '', fraction = '', unit = ''] of body.matchAll(/(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h)/g)) {
    const size = units[unit] ?? 1n;
    total += BigInt(whole || '0') * size + (fraction === '' ? 0n : (BigInt(fraction) * size) / 10n ** BigInt(fraction.length));
  }
  if (total >= 2n ** 63n) throw fail();
  return new Duration(text.startsWith('-') ? -total : total);
}

/** In seconds, as CEL prints durations: `5400s`, `1.5s`. */
export function formatDuration({ ns }: Duration): string {
  const size = ns < 0n ? -ns : ns;
  const fraction = size % nsPerSecond;
  return `${ns < 0n ? '-' : ''}${size / nsPerSecond}${fraction === 0n ? '' : `.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`}s`;
}

function floor(value: bigint, by: bigint): [bigint, bigint] {
  const rest = ((value % by) + by) % by;
  return [(value - rest) / by, rest];
}

/** The time on a clock in `zone`: a name as `Europe/Berlin`, or an offset as `+02:00`. */
function local({ ns }: Timestamp, zone: string): Date {
  const [ms] = floor(ns, 1_000_000n);
  const offset = /^([+-]?)(\d{2}):(\d{2})$/.exec(zone);
  if (offset) return new Date(Number(ms) + (offset[1] === '-' ? -1 : 1) * (Number(offset[2]) * 60 + Number(offset[3])) * 60_000);
  if (zone === 'UTC' || zone === '') return new Date(Number(ms));
  try {
    const parts = new Intl.DateTimeFormat('en-US', { timeZone: zone, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' }).formatToParts(new Date(Number(ms)));
    const part = (type: string): number => Number(parts.find((one) => one.type === type)?.value);
    return new Date(Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'), Number(((ms % 1000n) + 1000n) % 1000n)));
  } catch {
    throw new CelError(`unknown time zone ${zone}`);
  }
}

const getters: Readonly<Record<string, (date: Date) => number>> = {
  getFullYear: (d) => d.getUTCFullYear(),
  getMonth: (d) => d.getUTCMonth(),
  getDate: (d) => d.getUTCDate(),
  getDayOfMonth: (d) => d.getUTCDate() - 1,
  getDayOfWeek: (d) => d.getUTCDay(),
  getDayOfYear: (d) => Math.floor((Date.UTC(d.getUTCFullYear(), d.getUTCMonth(), d.getUTCDate()) - Date.UTC(d.getUTCFullYear(), 0, 1)) / 86_400_000),
  getHours: (d) => d.getUTCHours(),
  getMinutes: (d) => d.getUTCMinutes(),
  getSeconds: (d) => d.getUTCSeconds(),
  getMilliseconds: (d) => d.getUTCMilliseconds(),
};

export const time: readonly Overload[] = [
  ...Object.entries(getters).flatMap(([name, get]) => [
    define(`timestamp.${name}(): int`, (a: Timestamp) => BigInt(get(local(a, 'UTC')))),
    define(`timestamp.${name}(string): int`, (a: Timestamp, zone: string) => BigInt(get(local(a, zone)))),
  ]),
  define('duration.getHours(): int', (a: Duration) => a.ns / (3600n * nsPerSecond)),
  define('duration.getMinutes(): int', (a: Duration) => a.ns / (60n * nsPerSecond)),
  define('duration.getSeconds(): int', (a: Duration) => a.ns / nsPerSecond),
  define('duration.getMilliseconds(): int', (a: Duration) => a.ns / 1_000_000n),
];
