import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { badRequest } from '../api-errors.ts';

const unitMs: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, 'µs': 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Answers within the time that the client gives by `?timeout=`, as kubectl's --request-timeout does. Streams last as long as they do. */
export async function withinAskedTime<T>(query: URLSearchParams, clock: Clock, work: () => Promise<T>): Promise<T> {
  const asked = query.get('timeout') ?? '';
  const limitMs = asked === '' ? 0 : parseGoDuration(asked);
  if (limitMs === undefined || limitMs < 0) throw badRequest('invalid timeout specified in the request URL');
  if (limitMs === 0) return work();
  const { promise, reject } = Promise.withResolvers<never>();
  const cancel = clock.after(limitMs, () => { reject(new StatusError('Timeout', 'request did not complete within requested timeout - context deadline exceeded')); });
  try {
    return await Promise.race([work(), promise]);
  } finally {
    cancel();
  }
}

/** `1m30s`, `0`; undefined for what Go does not read as a duration. */
function parseGoDuration(text: string): number | undefined {
  const [, sign = '', rest = ''] = /^([-+]?)(.*)$/.exec(text) ?? [];
  if (rest === '0') return 0;
  if (!/^(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+$/.test(rest)) return undefined;
  const ms = [...rest.matchAll(/(\d+(?:\.\d*)?)(ns|us|µs|ms|s|m|h)/g)].reduce((sum, [, amount, unit = '']) => sum + Number(amount) * (unitMs[unit] ?? 0), 0);
  return sign === '-' ? -ms : ms;
}
