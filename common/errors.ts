/**
 * The one error type of Cleat. `code` is a Kubernetes Status reason; everything that crosses a boundary
 * (HTTP, gRPC, the CLI's exit code) is derived from it here, in one table.
 * Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
 */
export type StatusCode =
  | 'BadRequest' | 'Unauthorized' | 'Forbidden' | 'NotFound' | 'AlreadyExists' | 'Conflict' | 'Gone' | 'Expired'
  | 'Invalid' | 'Timeout' | 'ServerTimeout' | 'TooManyRequests' | 'InternalError' | 'MethodNotAllowed'
  | 'NotAcceptable' | 'UnsupportedMediaType' | 'RequestEntityTooLarge' | 'ServiceUnavailable';

interface CodeRow {
  /** HTTP status. */
  readonly http: number;
  /** gRPC status number (https://grpc.io/docs/guides/status-codes/). */
  readonly grpc: number;
  /** True when the same request may succeed later without a change. */
  readonly retryable: boolean;
}

export const statusCodes: Readonly<Record<StatusCode, CodeRow>> = {
  BadRequest: { http: 400, grpc: 3, retryable: false },
  Unauthorized: { http: 401, grpc: 16, retryable: false },
  Forbidden: { http: 403, grpc: 7, retryable: false },
  NotFound: { http: 404, grpc: 5, retryable: false },
  MethodNotAllowed: { http: 405, grpc: 12, retryable: false },
  NotAcceptable: { http: 406, grpc: 3, retryable: false },
  AlreadyExists: { http: 409, grpc: 6, retryable: false },
  Conflict: { http: 409, grpc: 10, retryable: true },
  Gone: { http: 410, grpc: 11, retryable: false },
  Expired: { http: 410, grpc: 11, retryable: false },
  RequestEntityTooLarge: { http: 413, grpc: 8, retryable: false },
  UnsupportedMediaType: { http: 415, grpc: 3, retryable: false },
  Invalid: { http: 422, grpc: 3, retryable: false },
  TooManyRequests: { http: 429, grpc: 8, retryable: true },
  InternalError: { http: 500, grpc: 13, retryable: false },
  ServiceUnavailable: { http: 503, grpc: 14, retryable: true },
  Timeout: { http: 504, grpc: 4, retryable: true },
  ServerTimeout: { http: 504, grpc: 4, retryable: true },
};

/** One cause of an `Invalid` error, as Kubernetes' `Status.details.causes` has it. */
export interface StatusCause {
  /** `FieldValueRequired`, `FieldValueInvalid`, ... */
  readonly reason: string;
  readonly message: string;
  /** Path of the field, e.g. `spec.containers[0].name`. */
  readonly field?: string;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly causes?: readonly StatusCause[];
}

export interface StatusErrorOptions {
  readonly cause?: unknown;
  /** How long a client should wait before it tries again. */
  readonly retryAfterMs?: number;
  readonly details?: StatusDetails;
  /** By which a list that cannot go on as it began can be read to its end all the same. */
  readonly continueToken?: string;
  /** Code and reason, which may be empty, of somebody who refuses in our place: a client is told just these. */
  readonly refusal?: Refusal;
}

export interface Refusal {
  /** HTTP status, 400 to 599. */
  readonly http: number;
  readonly reason: string;
}

export class StatusError extends Error {
  readonly code: StatusCode;
  readonly retryAfterMs: number | undefined;
  readonly details: StatusDetails | undefined;
  readonly continueToken: string | undefined;
  readonly refusal: Refusal | undefined;

  /** `message` says what happened, why, and what to do next. */
  constructor(code: StatusCode, message: string, options: StatusErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'StatusError';
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
    this.details = options.details;
    this.continueToken = options.continueToken;
    this.refusal = options.refusal;
  }
}

/** The HTTP status to answer with. */
export function httpStatusOf({ code, refusal }: StatusError): number {
  return refusal?.http ?? statusCodes[code].http;
}

/** True when `error` is a StatusError with one of `codes` (any code when none is given). */
export function isStatus(error: unknown, ...codes: StatusCode[]): error is StatusError {
  return error instanceof StatusError && (codes.length === 0 || codes.includes(error.code));
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A StatusError for anything thrown: itself, or `code` with the original as its cause. */
export function toStatus(error: unknown, code: StatusCode = 'InternalError'): StatusError {
  return error instanceof StatusError ? error : new StatusError(code, messageOf(error), { cause: error });
}
