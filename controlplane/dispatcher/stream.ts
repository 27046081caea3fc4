import type { ServerDuplexStream } from '@grpc/grpc-js';
import { StatusError, statusCodes, toStatus } from '#common/errors.ts';

/** Sends one message; resolves when the connection has taken it, so that a slow reader slows the sender. Rejects when the signal aborts. */
export function send<T>(call: ServerDuplexStream<unknown, T>, message: T, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => { reject(signal.reason as Error); };
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener('abort', abort, { once: true });
    call.write(message, (error: Error | null | undefined) => {
      signal.removeEventListener('abort', abort);
      if (error) reject(new StatusError('ServiceUnavailable', `the connection ended: ${error.message}`, { cause: error }));
      else resolve();
    });
  });
}

/** What a gRPC client is told of an error. Errors that are not ours say nothing of our insides. */
export function grpcStatus(error: unknown): { code: number; details: string } {
  const status = toStatus(error);
  return { code: statusCodes[status.code].grpc, details: status === error ? status.message : 'internal error; see the log of the control plane' };
}

/** gRPC's ABORTED and CANCELLED have no row of their own among Kubernetes' reasons. */
export const grpcAborted = 10;
export const grpcCancelled = 1;

/** Ends a call with a status; harmless when it has ended. */
export function finish(call: ServerDuplexStream<unknown, unknown>, status: { code: number; details: string } | undefined): void {
  if (call.destroyed || call.writableEnded) return;
  if (status) call.emit('error', status);
  else call.end();
}
