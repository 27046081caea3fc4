import { backoffMs, type BackoffConfig } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf, statusCodes } from '#common/errors.ts';

export interface RegainedDeps {
  readonly clock: Pick<Clock, 'sleep'>;
  readonly say: (text: string) => void;
}

const backoff: BackoffConfig = { baseMs: 1000, maxMs: 30_000, jitter: 0.2 };
/** In a row, without anything having come: about two minutes, in which a host is up again. */
const maxTries = 9;

/** Nodes that broke off in the middle of a push, and are asked again. */
export class Regained {
  readonly #deps: RegainedDeps;
  readonly #signal: AbortSignal;

  constructor(deps: RegainedDeps, signal: AbortSignal) {
    this.#deps = deps;
    this.#signal = signal;
  }

  /**
   * Asks with growing waits until the node answers. Rejects with the last failure when it has not for too long, or says
   * that it will not. `failure`: how it broke off; `tries`: what this is by now, from 1.
   */
  async join<T>(node: string, ask: () => Promise<T>, failure: unknown, tries: number): Promise<T> {
    let last = failure;
    for (let count = tries; count <= maxTries; count++) {
      const waitMs = backoffMs(backoff, count, Math.random);
      this.#deps.say(`node ${node}: broke off (${messageOf(last)}); trying again in ${String(Math.ceil(waitMs / 1000))} s, from where it was\n`);
      await this.#deps.clock.sleep(waitMs, this.#signal);
      try {
        return await ask();
      } catch (error) {
        this.#signal.throwIfAborted();
        last = error;
        if (isStatus(error) && !statusCodes[error.code].retryable) break;
      }
    }
    throw last;
  }
}
