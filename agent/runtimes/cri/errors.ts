import { status } from '@grpc/grpc-js';
import { messageOf, StatusError, type StatusCode } from '#common/errors.ts';

const codes: Readonly<Record<number, StatusCode>> = {
  [status.INVALID_ARGUMENT]: 'Invalid',
  [status.DEADLINE_EXCEEDED]: 'Timeout',
  [status.NOT_FOUND]: 'NotFound',
  [status.ALREADY_EXISTS]: 'AlreadyExists',
  [status.RESOURCE_EXHAUSTED]: 'TooManyRequests',
  [status.UNIMPLEMENTED]: 'MethodNotAllowed',
  [status.UNAVAILABLE]: 'ServiceUnavailable',
};

/** containerd's words, without a code of its own, while it reads what runs already. */
const starting = 'server is not initialized yet';

/** containerd's words for a user or a group that the image names without knowing it. */
const unknownName = /no (user|group)s found/;

/**
 * The StatusError for what a CRI call rejected with. A runtime that does not know a method says
 * `MethodNotAllowed`; an aborted call rejects with the signal's reason, not through here.
 */
export function fromCri(method: string, error: unknown): StatusError {
  const grpc = error as { code?: unknown; details?: unknown };
  const text = typeof grpc.details === 'string' && grpc.details !== '' ? grpc.details : messageOf(error);
  const code = text === starting ? 'ServiceUnavailable' : typeof grpc.code === 'number' ? codes[grpc.code] ?? 'InternalError' : 'InternalError';
  if (code === 'ServiceUnavailable') {
    return new StatusError(code, `the container runtime did not answer ${method}: ${text}; check that it is running`, { cause: error });
  }
  const [, unknown] = unknownName.exec(text) ?? [];
  if (unknown !== undefined) return new StatusError('Invalid', `the image names a ${unknown} that its /etc/${unknown === 'user' ? 'passwd' : 'group'} does not have; set ${unknown === 'user' ? 'runAsUser' : 'runAsGroup'} to a number: ${text}`, { cause: error });
  return new StatusError(code, text, { cause: error });
}
