import { equal } from './equal.ts';
import { invalid, notSupported, required, type FieldError } from './field-error.ts';

/** Small rules that many kinds share. Each returns the errors of one field, or none. */

export function supported(field: string, value: string | undefined, allowed: readonly string[]): FieldError[] {
  if (!value) return [required(field)];
  return allowed.includes(value) ? [] : [notSupported(field, value, allowed)];
}

/** As `supported`, for a field that may be absent. */
export function supportedIfSet(field: string, value: string | undefined, allowed: readonly string[]): FieldError[] {
  return value === undefined || allowed.includes(value) ? [] : [notSupported(field, value, allowed)];
}

export function notNegative(field: string, value: number | undefined): FieldError[] {
  return value !== undefined && value < 0 ? [invalid(field, value, 'must be greater than or equal to 0')] : [];
}

export function inRange(field: string, value: number | undefined, min: number, max: number): FieldError[] {
  return value !== undefined && !(value >= min && value <= max) ? [invalid(field, value, `must be between ${min} and ${max}, inclusive`)] : [];
}

/** `problem` is one of the functions of names.ts. An empty value is the rule's business. */
export function named(field: string, value: string, problem: (value: string) => string | undefined): FieldError[] {
  const message = problem(value);
  return message === undefined ? [] : [invalid(field, value, message)];
}

export function requiredText(field: string, value: string | undefined, detail?: string): FieldError[] {
  return value ? [] : [required(field, detail)];
}

/** As `named`, but an absent or empty value is missing. */
export function requiredNamed(field: string, value: string | undefined, problem: (value: string) => string | undefined): FieldError[] {
  return value ? named(field, value, problem) : [required(field)];
}

/** What an update may not change. */
export function immutable(field: string, value: unknown, old: unknown): FieldError[] {
  return equal(value, old) ? [] : [invalid(field, value, 'field is immutable')];
}
