import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { processRef } from '../process.ts';
import type { DockerEngine } from './engine.ts';
import type { InspectedContainer } from './messages.ts';

export interface MissedEndsDeps { readonly engine: DockerEngine; readonly clock: Clock; readonly log: Log }

/** Docker gives an end that it may have missed as long to be told after all. */
const againMs = 15_000;

/**
 * Containers that run for Docker only: it misses an end when the shim is killed while it starts, and would go on like that
 * for ever. Docker finds out when it is to pass on a signal, some ten seconds later, and tells of that end like of any other.
 */
export class MissedEnds {
  readonly #deps: MissedEndsDeps;
  /** When Docker was asked to pass on a signal, by container. */
  readonly #asked = new Map<string, number>();

  constructor(deps: MissedEndsDeps) {
    this.#deps = deps;
  }

  async look({ Id: id, State: { Running, Pid } }: InspectedContainer, signal: AbortSignal): Promise<void> {
    const { engine, clock, log } = this.#deps;
    if (!Running || Pid <= 1 || clock.monotonic() - (this.#asked.get(id) ?? -Infinity) < againMs || await processRef(Pid)) return;
    this.#asked.set(id, clock.monotonic());
    try {
      // Not SIGKILL: for that Docker would wait. Nobody is left to get it.
      await engine.call('POST', `/containers/${id}/kill`, { query: { signal: 'SIGCONT' } }, signal);
    } catch (error) {
      signal.throwIfAborted();
      log.debug({ container: id, err: messageOf(error) }, 'Docker has not passed on a signal');
    }
  }

  retain(present: ReadonlySet<string>): void {
    for (const id of this.#asked.keys()) if (!present.has(id)) this.#asked.delete(id);
  }
}
