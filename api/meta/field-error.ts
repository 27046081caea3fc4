import type { Resource } from '../kinds/resources.ts';
import { StatusError } from '#common/errors.ts';

/**
 * A broken rule of one field, in the form that Kubernetes prints: `spec.containers[0].name: Required value`.
 * Source: k8s.io/apimachinery field errors (types and texts).
 */
export type FieldErrorType =
  | 'FieldValueRequired' | 'FieldValueInvalid' | 'FieldValueNotSupported' | 'FieldValueDuplicate'
  | 'FieldValueForbidden' | 'FieldValueTooLong' | 'FieldValueTooMany' | 'FieldValueTypeInvalid' | 'FieldValueNotFound';

export interface FieldError {
  readonly type: FieldErrorType;
  readonly field: string;
  /** Ready to print after `field: `, e.g. `Invalid value: "x": must be …`. */
  readonly message: string;
}

/** A value as Kubernetes prints it in messages: strings quoted, objects as JSON. Long values are cut. */
export function printValue(value: unknown): string {
  if (value === undefined) return 'null';
  let text: string;
  try {
    text = JSON.stringify(value) ?? 'null';
  } catch {
    text = '"..."';
  }
  return text.length > 2048 ? `${text.slice(0, 2048)}...` : text;
}

function error(type: FieldErrorType, field: string, start: string, detail: string | undefined): FieldError {
  return { type, field, message: detail ? `${start}: ${detail}` : start };
}

export function required(field: string, detail?: string): FieldError {
  return error('FieldValueRequired', field, 'Required value', detail);
}

export function invalid(field: string, value: unknown, detail: string): FieldError {
  return error('FieldValueInvalid', field, `Invalid value: ${printValue(value)}`, detail);
}

export function notSupported(field: string, value: unknown, allowed: readonly string[]): FieldError {
  return error('FieldValueNotSupported', field, `Unsupported value: ${printValue(value)}`,
    allowed.length === 0 ? undefined : `supported values: ${allowed.map((item) => JSON.stringify(item)).join(', ')}`);
}

export function duplicate(field: string, value: unknown): FieldError {
  return error('FieldValueDuplicate', field, `Duplicate value: ${printValue(value)}`, undefined);
}

export function forbidden(field: string, detail: string): FieldError {
  return error('FieldValueForbidden', field, 'Forbidden', detail);
}

/** `maxLength` in bytes. */
export function tooLong(field: string, maxLength: number): FieldError {
  return error('FieldValueTooLong', field, 'Too long', `may not be more than ${maxLength} bytes`);
}

export function tooMany(field: string, actual: number, max: number): FieldError {
  return error('FieldValueTooMany', field, `Too many: ${actual}`, `must have at most ${max} items`);
}

export function typeInvalid(field: string, value: unknown, detail: string): FieldError {
  return error('FieldValueTypeInvalid', field, `Invalid value: ${printValue(value)}`, detail);
}

export function notFound(field: string, value: unknown): FieldError {
  return error('FieldValueNotFound', field, `Not found: ${printValue(value)}`, undefined);
}

/** `spec.x: Required value`. */
export function printFieldError(e: FieldError): string {
  return `${e.field}: ${e.message}`;
}

/** More tells a reader nothing new, and an answer must stay small. */
const maxErrors = 100;

/** The Status of an object that breaks rules: `Deployment.apps "web" is invalid: spec.selector: Required value`. */
export function invalidStatus(resource: Pick<Resource, 'group' | 'kind'>, name: string, errors: readonly FieldError[]): StatusError {
  const kind = resource.group === '' ? resource.kind : `${resource.kind}.${resource.group}`;
  const shown = errors.slice(0, maxErrors);
  const texts = [...new Set(shown.map(printFieldError))];
  if (errors.length > maxErrors) texts.push(`and ${errors.length - maxErrors} more`);
  const list = texts.length === 1 ? texts[0] ?? '' : `[${texts.join(', ')}]`;
  return new StatusError('Invalid', `${kind} ${JSON.stringify(name)} is invalid: ${list}`, {
    details: {
      name,
      group: resource.group,
      kind: resource.kind,
      causes: shown.map((e) => ({ reason: e.type, message: e.message, field: e.field })),
    },
  });
}
