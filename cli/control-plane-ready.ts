import { setTimeout as sleep } from 'node:timers/promises';
import { StatusError } from '#common/errors.ts';
import type { RestClient } from './client.ts';

const pauseMs = 200;
const limitMs = 30_000;

/** Resolves when the control plane has gone through a restart that it was asked for and answers again. */
export async function eventuallyReady(client: RestClient, signal: AbortSignal): Promise<void> {
  const startedMs = performance.now();
  let answers = 0;
  // Twice, with a pause between: the first answer may be the old one's.
  while (answers < 2) {
    await sleep(pauseMs * 2, undefined, { signal });
    try {
      await client.request('GET', '/readyz', { signal: AbortSignal.any([signal, AbortSignal.timeout(5000)]) });
      answers++;
    } catch (error) {
      signal.throwIfAborted();
      answers = 0;
      if (performance.now() - startedMs > limitMs) throw new StatusError('Timeout', `the control plane does not answer after ${String(limitMs / 1000)} s; see its log`, { cause: error });
    }
  }
}
