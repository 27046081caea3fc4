import type { LabelSelector } from '../gen/types.ts';
import { invalid, required, type FieldError } from '../meta/field-error.ts';
import { validateLabelSelector } from '../meta/selectors.ts';
import { hasTerms } from './validate.ts';

/** A selector that must be there and must not select everything. `owner` as Kubernetes writes it in its message. */
export function validateOwnSelector(selector: LabelSelector | undefined, owner: string, field = 'spec.selector'): FieldError[] {
  if (selector === undefined) return [required(field)];
  const errors = validateLabelSelector(selector, field);
  return hasTerms(selector) ? errors : [...errors, invalid(field, selector, `empty selector is invalid for ${owner}`)];
}
