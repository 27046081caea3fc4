import { httpStatusOf, type StatusCause, type StatusError } from '#common/errors.ts';

/** A `Status` object as Kubernetes answers one. */
export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: { readonly continue?: string };
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: {
    readonly name?: string;
    readonly group?: string;
    readonly kind?: string;
    readonly uid?: string;
    readonly causes?: readonly StatusCause[];
    readonly retryAfterSeconds?: number;
  };
  readonly code?: number;
}

export function failure(error: StatusError): Status {
  const reason = error.refusal?.reason ?? error.code;
  const retryAfterSeconds = error.retryAfterMs === undefined ? undefined : Math.max(1, Math.ceil(error.retryAfterMs / 1000));
  const details = { ...error.details, ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) };
  return {
    kind: 'Status', apiVersion: 'v1', metadata: error.continueToken === undefined ? {} : { continue: error.continueToken }, status: 'Failure', message: error.message, ...(reason !== '' && { reason }),
    ...((error.details !== undefined || retryAfterSeconds !== undefined) && { details }), code: httpStatusOf(error),
  };
}

/** What a DELETE that removed the object answers. */
export function success(details: NonNullable<Status['details']>): Status {
  return { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
}
