import { Metadata, status, type Client, type MethodDefinition, type ServiceError } from '@grpc/grpc-js';
import { messageOf, StatusError, type StatusCode } from '#common/errors.ts';

/** Codes that a caller can do something about; all others say that the plugin failed. */
const codes: Readonly<Record<number, StatusCode>> = { [status.UNIMPLEMENTED]: 'MethodNotAllowed', [status.NOT_FOUND]: 'NotFound' };

/** One question to a plugin of this host. Rejects with what the plugin said, printed as the kubelet does. */
export function callPlugin<Response>(client: Client, { path, originalName, requestSerialize, responseDeserialize }: MethodDefinition<object, object>, request: object, timeoutMs: number, signal: AbortSignal): Promise<Response> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) { reject(signal.reason as Error); return; }
    const call = client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, new Metadata(), { deadline: Date.now() + timeoutMs }, (error, response) => {
      signal.removeEventListener('abort', abort);
      if (!error) resolve(response as Response);
      else reject(signal.aborted ? signal.reason as Error : failureOf(originalName ?? path, error));
    });
    const abort = (): void => { call.cancel(); };
    signal.addEventListener('abort', abort, { once: true });
  });
}

function failureOf(method: string, error: ServiceError): StatusError {
  return new StatusError(codes[error.code] ?? 'InternalError', `rpc error: code = ${codeNames[error.code] ?? 'Unknown'} desc = ${error.details || messageOf(error)}`, { cause: new Error(method, { cause: error }) });
}

/** What the plugin called its failure, in gRPC's words; undefined for an error that is not one of `callPlugin`. */
export function grpcCode(error: unknown): string | undefined {
  const call = error instanceof Error && error.cause instanceof Error ? error.cause.cause : undefined;
  const code = call instanceof Error && 'code' in call ? call.code : undefined;
  return typeof code === 'number' ? codeNames[code] : undefined;
}

const codeNames = ['OK', 'Canceled', 'Unknown', 'InvalidArgument', 'DeadlineExceeded', 'NotFound', 'AlreadyExists', 'PermissionDenied', 'ResourceExhausted', 'FailedPrecondition', 'Aborted', 'OutOfRange', 'Unimplemented', 'Internal', 'Unavailable', 'DataLoss', 'Unauthenticated'];
