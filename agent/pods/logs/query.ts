import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import type { Container, RuntimeDriver } from '#agent/runtimes/types.ts';
import type { LogQuery } from '#agent/session/types.ts';
import { logText, readLog } from './reader.ts';

export interface LogDeps {
  /** Why a container has not started, as its status says; undefined when that is not known. */
  readonly waitingReason: (podUid: string, container: string) => string | undefined;
  readonly driver: RuntimeDriver;
  readonly clock: Clock;
  /** Resolves when the container does not run any more. */
  readonly untilEnded: (podUid: string, containerId: string, signal: AbortSignal) => Promise<void>;
}

/** Answers `kubectl logs`. Rejects with `BadRequest` in kubelet's words when there is no such container yet. */
export async function* queryLogs(deps: LogDeps, query: LogQuery, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { containers } = await deps.driver.list(signal, query.podUid);
  const container = chosen(query, containers, deps.waitingReason(query.podUid, query.container));
  const done = new AbortController();
  const stop = AbortSignal.any([signal, done.signal]);
  const sinceMs = since(query, deps.clock);
  const follow = query.follow && !query.previous && container.state !== 'exited';
  const options = {
    follow,
    timestamps: query.timestamps,
    ...(query.tailLines !== undefined && { tailLines: query.tailLines }),
    ...(sinceMs !== undefined && { sinceMs }),
    ...(query.limitBytes !== undefined && { limitBytes: query.limitBytes }),
  };
  try {
    if (deps.driver.readLog) yield* logText(deps.driver.readLog(container.id, options, stop), options);
    else yield* readLog(container.logPath, { ...options, ...(follow && { ended: deps.untilEnded(query.podUid, container.id, stop) }) }, signal);
  } finally {
    done.abort();
  }
}

/** In kubelet's words where it has others than the reason. */
const waits: Readonly<Record<string, string>> = { ErrImagePull: "image can't be pulled", ImagePullBackOff: 'trying and failing to pull image' };

function chosen(query: LogQuery, containers: readonly Container[], waiting = 'ContainerCreating'): Container {
  const attempts = containers.filter((c) => c.name === query.container).sort((a, b) => b.attempt - a.attempt || b.createdAtMs - a.createdAtMs);
  const what = `container "${query.container}" in pod "${query.podName}"`;
  if (query.previous) {
    const [latest, before] = attempts;
    // While a restart is waited for, the newest one is the one that ended.
    const previous = latest?.state === 'exited' ? latest : before;
    if (!previous) throw new StatusError('BadRequest', `previous terminated ${what} not found`);
    return previous;
  }
  const latest = attempts.find((c) => c.state !== 'created');
  if (!latest) throw new StatusError('BadRequest', `${what} is waiting to start: ${waits[waiting] ?? waiting}`);
  return latest;
}

function since({ sinceSeconds, sinceTime }: LogQuery, clock: Clock): number | undefined {
  if (sinceSeconds !== undefined) return clock.now() - sinceSeconds * 1000;
  if (sinceTime === undefined) return undefined;
  const parsed = Date.parse(sinceTime);
  if (Number.isNaN(parsed)) throw new StatusError('BadRequest', `sinceTime ${JSON.stringify(sinceTime)} is not an RFC 3339 time`);
  return parsed;
}
