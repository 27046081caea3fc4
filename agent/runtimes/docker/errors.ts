import { messageOf, StatusError, type StatusCode } from '#common/errors.ts';

const codes: Readonly<Record<number, StatusCode>> = { 400: 'Invalid', 401: 'Forbidden', 403: 'Forbidden', 404: 'NotFound', 409: 'Conflict', 501: 'MethodNotAllowed', 503: 'ServiceUnavailable' };

/** The StatusError for what Docker answered, with its words. */
export function fromDocker(httpStatus: number, body: string): StatusError {
  let words = body.trim();
  try {
    const answer: unknown = JSON.parse(body);
    if (typeof answer === 'object' && answer !== null && 'message' in answer && typeof answer.message === 'string') words = answer.message;
  } catch {
    // Whoever answered does not speak JSON; what it said is all there is.
  }
  return new StatusError(codes[httpStatus] ?? 'InternalError', words.slice(0, 4000) || `Docker answered ${String(httpStatus)}`);
}

/** The StatusError for a connection that failed. */
export function unreachable(endpoint: string, what: string, error: unknown): StatusError {
  return new StatusError('ServiceUnavailable', `Docker did not answer ${what} on ${endpoint}: ${messageOf(error)}; check that it is running (systemctl status docker)`, { cause: error });
}
