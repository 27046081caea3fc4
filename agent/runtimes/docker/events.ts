import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { podLabels } from '../pod-labels.ts';
import type { DockerEngine } from './engine.ts';
import { jsonLines } from './json-lines.ts';
import type { EngineEvent } from './messages.ts';

export interface EventDeps {
  readonly engine: DockerEngine;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes what has happened to a container. Resolves when Docker's own lists say it too: it tells first and writes it down then. */
  readonly settle: (containerId: string, action: string, signal: AbortSignal) => Promise<void>;
}

const retry = { baseMs: 200, maxMs: 10_000, jitter: 0.2 };
/** Nobody promises that no event is ever lost. */
const relistMs = 300_000;

/** Docker's events of containers with these labels. */
export async function* podEvents({ engine, clock, log, settle }: EventDeps, labels: readonly string[], signal: AbortSignal): AsyncIterable<{ podUid: string | undefined }> {
  // What changes by itself; what the agent starts it sees anyway.
  const filters = JSON.stringify({ type: ['container'], label: labels, event: ['die', 'oom', 'destroy'] });
  for (let failures = 1; !signal.aborted; failures++) {
    const stop = new AbortController();
    const cancel = clock.after(relistMs, () => { stop.abort(new Error('time for a look at everything')); });
    try {
      const answer = await engine.open('GET', '/events', { query: { filters } }, AbortSignal.any([signal, stop.signal]));
      yield { podUid: undefined };
      for await (const { Action: action, Actor: actor } of jsonLines<EngineEvent>(answer as AsyncIterable<Buffer>)) {
        failures = 0;
        if (actor) await settle(actor.ID, action, signal);
        yield { podUid: actor?.Attributes?.[podLabels.uid] };
      }
      throw new StatusError('ServiceUnavailable', 'the event stream ended');
    } catch (error) {
      if (signal.aborted) return;
      if (stop.signal.aborted) { failures = 0; continue; }
      log.warn({ err: messageOf(error) }, 'runtime events interrupted; subscribing again');
    } finally {
      cancel();
      stop.abort();
    }
    await clock.sleep(backoffMs(retry, Math.max(1, failures), Math.random), signal);
  }
}
