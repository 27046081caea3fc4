import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import type { Log } from '#common/log.ts';
import { PendingPods } from '../pending-pods.ts';
import type { ContainerEvent, CriConnection, EventSource } from './connection.ts';
import { fromCri } from './errors.ts';

export interface EventDeps {
  readonly connection: CriConnection;
  readonly clock: Clock;
  readonly log: Log;
  /** Takes what has happened to a container. Resolves once the runtime's own status of it reflects that, or `maxMs` have passed. */
  readonly settle: (event: ContainerEvent, maxMs: number, signal: AbortSignal) => Promise<Settled>;
  /** Called when the runtime has let go of a container's process: whoever waits for its status looks again. */
  readonly released: (containerId: string) => void;
}

export interface Settled {
  /** Undefined when the id is unknown. */
  readonly podUid: string | undefined;
  readonly settled: boolean;
}

type Source = () => EventSource;

const retry = { baseMs: 200, maxMs: 10_000, jitter: 0.2 };
/** Without any event stream. */
const relistMs = 60_000;
/** With one: a subscription takes a moment to begin at the other side, and nobody promises that no event is ever lost. */
const againMs = [500, 300_000];
/** How long the runtime may take to write down an exit that it has told of, before the pod is looked at all the same. */
const settleMs = [2000, 60_000];
/** What changes by itself; what the agent starts it sees anyway. */
const filters = ['/tasks/exit', '/tasks/oom', '/tasks/delete', '/containers/delete'].map((topic) => `namespace==k8s.io,topic=="${topic}"`);

/** containerd's events where they exist, else CRI's, else a look at everything once a minute. */
export async function* podEvents(deps: EventDeps, signal: AbortSignal): AsyncIterable<{ podUid: string | undefined }> {
  const sources: Source[] = [() => deps.connection.taskEvents(filters), () => deps.connection.criEvents()];
  let failures = 0;
  while (!signal.aborted) {
    const source = sources[0];
    if (!source) {
      yield { podUid: undefined };
      await deps.clock.sleep(relistMs, signal);
      continue;
    }
    try {
      for await (const podUid of subscribe(deps, source, signal)) {
        if (podUid !== undefined) failures = 0;
        yield { podUid };
      }
    } catch (error) {
      if (signal.aborted) return;
      if (isStatus(error, 'MethodNotAllowed')) { sources.shift(); continue; }
      failures++;
      deps.log.warn({ err: messageOf(error) }, 'runtime events interrupted; subscribing again');
    }
    await deps.clock.sleep(backoffMs(retry, Math.max(1, failures), Math.random), signal);
  }
}

function lookAgain(clock: Clock, signal: AbortSignal, pending: PendingPods, times: number): void {
  const cancel = clock.after(againMs[Math.min(times, againMs.length - 1)] ?? relistMs, () => {
    signal.removeEventListener('abort', cancel);
    pending.add(undefined);
    lookAgain(clock, signal, pending, times + 1);
  });
  signal.addEventListener('abort', cancel, { once: true });
}

async function* subscribe(deps: EventDeps, source: Source, signal: AbortSignal): AsyncIterable<string | undefined> {
  const { stream, read } = source();
  const pending = new PendingPods();
  let ended: Error | undefined;
  const stop = new AbortController();
  const cancel = (): void => { stream.cancel(); };
  signal.addEventListener('abort', cancel, { once: true });
  const settled = AbortSignal.any([signal, stop.signal]);
  // On a busy host, or where containerd has to try again, the bookkeeping may come much later: then there is a second look.
  const settle = async (event: ContainerEvent): Promise<void> => {
    for (const maxMs of settleMs) {
      const { podUid, settled: done } = await deps.settle(event, maxMs, settled);
      pending.add(podUid);
      if (done) return;
    }
  };
  stream.on('data', (message: unknown) => {
    const event = read(message);
    if (event?.released) deps.released(event.containerId);
    else if (event) settle(event).catch(() => { pending.add(undefined); });
  });
  stream.on('error', (error) => { ended = fromCri('events', error); pending.wake(); });
  stream.on('end', () => { ended ??= fromCri('events', new Error('the event stream ended')); pending.wake(); });
  try {
    pending.add(undefined);
    lookAgain(deps.clock, settled, pending, 0);
    for (;;) {
      await pending.wait();
      yield* pending.take();
      if (ended) throw ended;
    }
  } finally {
    stop.abort();
    signal.removeEventListener('abort', cancel);
    stream.cancel();
  }
}
