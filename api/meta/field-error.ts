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
