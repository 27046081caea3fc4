import { StatusError } from '#common/errors.ts';

/** The number before `%`, or undefined when `value` is not a percentage. */
export function percentOf(value: unknown): number | undefined {
  return typeof value === 'string' && /^[0-9]{1,9}%$/.test(value) ? Number(value.slice(0, -1)) : undefined;
}

/** A count, or a share of `total` rounded up or down (Deployment's maxSurge: up, maxUnavailable: down). Bad text is Invalid. */
export function scaledValue(value: number | string, total: number, round: 'up' | 'down'): number {
  if (typeof value === 'number') return value;
  const percent = percentOf(value);
  if (percent === undefined) throw new StatusError('Invalid', `invalid value for IntOrString: invalid type: string is not a percentage: ${JSON.stringify(value)}`);
  const exact = (percent * total) / 100;
  return round === 'up' ? Math.ceil(exact) : Math.floor(exact);
}
