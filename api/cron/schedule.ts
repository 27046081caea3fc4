import { StatusError } from '#common/errors.ts';

/** When a CronJob runs: five fields (`30 8 * * mon-fri`), a name (`@daily`) or `@every 90m`. The messages are those of Kubernetes' parser. */
export type Schedule = FieldSchedule | { readonly everyMs: number };

export interface FieldSchedule {
  readonly minutes: Matches;
  readonly hours: Matches;
  readonly days: Matches;
  /** 1 to 12. */
  readonly months: Matches;
  /** 0 is Sunday. */
  readonly weekdays: Matches;
  /** From a `TZ=` before the fields, which old objects may still have. */
  readonly timeZone?: string;
}

export interface Matches {
  readonly values: ReadonlySet<number>;
  /** Said by a star: for the two day fields that makes a difference. */
  readonly any: boolean;
}

interface Bounds { readonly min: number; readonly max: number; readonly names: readonly string[] }

const months: Bounds = { min: 1, max: 12, names: ['', 'jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'] };
const weekdays: Bounds = { min: 0, max: 6, names: ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] };
const plain = (min: number, max: number): Bounds => ({ min, max, names: [] });

const descriptors: ReadonlyMap<string, string> = new Map([
  ['@yearly', '0 0 1 1 *'], ['@annually', '0 0 1 1 *'], ['@monthly', '0 0 1 * *'], ['@weekly', '0 0 * * 0'], ['@daily', '0 0 * * *'], ['@midnight', '0 0 * * *'], ['@hourly', '0 * * * *'],
]);

/** Throws BadRequest with the parser's message. */
export function parseSchedule(text: string): Schedule {
  if (text === '') throw bad('empty spec string');
  const zone = /^(?:CRON_)?TZ=([^ ]*) *(.*)$/s.exec(text);
  if (zone === null) return parseTimes(text);
  const times = parseTimes(zone[2] ?? '');
  return 'everyMs' in times ? times : { ...times, timeZone: zone[1] ?? '' };
}

/** What is wrong with a schedule, or undefined. */
export function scheduleProblem(text: string): string | undefined {
  try {
    parseSchedule(text);
    return undefined;
  } catch (error) {
    if (error instanceof StatusError) return error.message;
    throw error;
  }
}

function parseTimes(text: string): Schedule {
  if (text.startsWith('@every ')) return { everyMs: everyMs(text.slice('@every '.length)) };
  const expanded = text.startsWith('@') ? descriptors.get(text) : text;
  if (expanded === undefined) throw bad(`unrecognized descriptor: ${text}`);
  const fields = expanded.split(/\s+/).filter((field) => field !== '');
  const [minute, hour, day, month, weekday, ...more] = fields;
  if (minute === undefined || hour === undefined || day === undefined || month === undefined || weekday === undefined || more.length > 0) {
    throw bad(`expected exactly 5 fields, found ${fields.length}: [${fields.join(' ')}]`);
  }
  return {
    minutes: parseField(minute, plain(0, 59)), hours: parseField(hour, plain(0, 23)), days: parseField(day, plain(1, 31)),
    months: parseField(month, months), weekdays: parseField(weekday, weekdays),
  };
}

function parseField(field: string, bounds: Bounds): Matches {
  const values = new Set<number>();
  let any = false;
  for (const range of field.split(',').filter((part) => part !== '')) any = addRange(range, bounds, values) || any;
  return { values, any };
}

/** Adds what a range says; true when that is everything, said by a star. */
function addRange(range: string, bounds: Bounds, values: Set<number>): boolean {
  const [lowHigh = '', stepText, ...moreSteps] = range.split('/');
  const [low = '', high, ...moreHighs] = lowHigh.split('-');
  const star = low === '*' || low === '?';
  if (!star && moreHighs.length > 0) throw bad(`too many hyphens: ${range}`);
  const start = star ? bounds.min : numberOrName(low, bounds);
  let end = star ? bounds.max : high === undefined ? start : numberOrName(high, bounds);
  if (moreSteps.length > 0) throw bad(`too many slashes: ${range}`);
  const step = stepText === undefined ? 1 : wholeNumber(stepText);
  if (stepText !== undefined && high === undefined) end = bounds.max;
  if (start < bounds.min) throw bad(`beginning of range (${start}) below minimum (${bounds.min}): ${range}`);
  if (end > bounds.max) throw bad(`end of range (${end}) above maximum (${bounds.max}): ${range}`);
  if (start > end) throw bad(`beginning of range (${start}) beyond end of range (${end}): ${range}`);
  if (step === 0) throw bad(`step of range should be a positive number: ${range}`);
  for (let value = start; value <= end; value += step) values.add(value);
  return star && step === 1;
}

function numberOrName(text: string, { names }: Bounds): number {
  const index = text === '' ? -1 : names.indexOf(text.toLowerCase());
  return index >= 0 ? index : wholeNumber(text);
}

function wholeNumber(text: string): number {
  if (!/^[+-]?[0-9]{1,15}$/.test(text)) throw bad(`failed to parse int from ${text}: strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  const value = Number(text);
  if (value < 0) throw bad(`negative number (${value}) not allowed: ${text}`);
  return value;
}

const unitMs: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** A duration as Go writes it, at least a second and in whole seconds. */
function everyMs(text: string): number {
  const terms = [...text.matchAll(/([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)/g)];
  if (text.length > 64 || terms.length === 0 || terms.map(([term]) => term).join('') !== text.replace(/^[+-]/, '')) {
    throw bad(`failed to parse duration @every ${text}: time: invalid duration ${JSON.stringify(text)}`);
  }
  const total = terms.reduce((sum, [, count, unit = 's']) => sum + Number(count) * (unitMs[unit] ?? 0), 0);
  return Math.max(1000, Math.floor((text.startsWith('-') ? 0 : total) / 1000) * 1000);
}

function bad(message: string): StatusError {
  return new StatusError('BadRequest', message);
}
