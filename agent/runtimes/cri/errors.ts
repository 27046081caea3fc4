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
  return new StatusError(code, text, { cause: error });
}

const architectures: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm', ia32: '386' };

/** Says it in those words when an image has nothing for this kind of host; containerd only says that nothing matched. */
export function withArchitecture(image: string, error: StatusError): StatusError {
  if (!/no match for platform|no matching manifest/.test(error.message)) return error;
  return new StatusError('Invalid', `wrong architecture: image ${image} has nothing for this host, which is linux/${architectures[process.arch] ?? process.arch}; build or choose an image for it (${error.message})`, { cause: error });
}
