import { StatusError } from '#common/errors.ts';
import { invalid, type FieldError } from './field-error.ts';
import { notNegative } from './rules.ts';

const percentText = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

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

/** Not negative, or digits and `%`. */
export function validateIntOrPercent(value: number | string | undefined, field: string): FieldError[] {
  if (typeof value === 'number') return notNegative(field, value);
  return value === undefined || percentOf(value) !== undefined ? [] : [invalid(field, value, percentText)];
}

/** A percentage of more than everything. A count is never too large. */
export function validateAtMostAll(value: number | string | undefined, field: string): FieldError[] {
  return (percentOf(value) ?? 0) > 100 ? [invalid(field, value, 'must not be greater than 100%')] : [];
}

/** `0`, `0%`. */
export function isNone(value: number | string | undefined): boolean {
  return value === 0 || percentOf(value) === 0;
}
