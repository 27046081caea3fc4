import type { ClientDuplexStream } from '@grpc/grpc-js';
import { StatusError } from '#common/errors.ts';

/** Sends one message; resolves when the connection has taken it. Rejects when the signal aborts. */
export function send<T>(call: ClientDuplexStream<T, unknown>, message: T, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => { reject(signal.reason as Error); };
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener('abort', abort, { once: true });
    call.write(message, (error?: Error | null) => {
      signal.removeEventListener('abort', abort);
      if (error) reject(new StatusError('ServiceUnavailable', `the connection ended: ${error.message}`, { cause: error }));
      else resolve();
    });
  });
}
