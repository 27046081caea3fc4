import { createInterface } from 'node:readline';
import { backoffMs } from '#common/backoff.ts';
import { isRecord } from '#api/meta/json.ts';
import { messageOf, StatusError } from '#common/errors.ts';
import { PendingPods } from '../pending-pods.ts';
import type { DriverDeps } from '../types.ts';
import type { Ctr } from '../containerd/ctr.ts';
import type { KnownEnd } from './containers.ts';
import type { Pauses } from './pauses.ts';

export interface EventDeps extends DriverDeps {
  readonly ctr: Ctr;
  readonly pauses: Pauses;
  /** Notes the end of a container, or of a sandbox, of which there is nothing to note; resolves with the pod that it is of, undefined when it is none of ours. */
  readonly ended: (id: string, end?: KnownEnd) => Promise<string | undefined>;
  /** Images may have changed; `isHeard` when whatever changes from now on will be told. */
  readonly imagesChanged: (isHeard?: boolean) => void;
}

const retry = { baseMs: 200, maxMs: 10_000, jitter: 0.2 };
/** It does not say from when on it listens, and nobody promises that no event is ever lost. */
const againMs = [500, 300_000];
const stderrBytes = 2000;

/** containerd's events of this namespace: what changes by itself is the end of programs, and what others do to images. */
export async function* podEvents(deps: EventDeps, namespace: string, signal: AbortSignal): AsyncIterable<{ podUid: string | undefined }> {
  for (let failures = 1; !signal.aborted; failures++) {
    try {
      for await (const podUid of subscribe(deps, namespace, signal)) {
        if (podUid !== undefined) failures = 0;
        yield { podUid };
      }
    } catch (error) {
      if (signal.aborted) return;
      deps.log.warn({ err: messageOf(error) }, 'runtime events interrupted; subscribing again');
    }
    await deps.clock.sleep(backoffMs(retry, Math.max(1, failures), Math.random), signal);
  }
}

async function* subscribe({ ctr, pauses, ended, imagesChanged, clock, log }: EventDeps, namespace: string, signal: AbortSignal): AsyncGenerator<string | undefined> {
  const command = ctr.open(['events', ...['topic=="/tasks/exit"', 'topic~="^/images/"'].map((topic) => `namespace==${namespace},${topic}`)]);
  const pending = new PendingPods();
  const stop = (): void => { command.kill(); };
  let words = '';
  let over = false;
  let cancel: () => void = () => undefined;
  const again = (times: number): void => {
    cancel = clock.after(againMs[Math.min(times, againMs.length - 1)] ?? 0, () => {
      pending.add(undefined);
      imagesChanged(true);
      again(times + 1);
    });
  };
  const note = (id: string, end?: KnownEnd): void => {
    ended(id, end).then((uid) => { if (uid !== undefined) pending.add(uid); }, (error: unknown) => {
      log.warn({ container: id, err: messageOf(error) }, 'the end of a container cannot be looked into yet');
      pending.add(undefined);
    });
  };
  command.stderr.on('data', (chunk: Buffer) => { words = (words + chunk.toString()).slice(-stderrBytes); });
  createInterface({ input: command.stdout }).on('line', (line) => {
    const exit = exitOf(line);
    if (exit) note(exit.containerId, exit);
    else if (line.includes(' /images/')) imagesChanged();
  });
  const unsubscribe = pauses.subscribe((id) => { note(id); });
  const finish = (): void => { over = true; pending.wake(); };
  command.ended.then(finish, finish);
  signal.addEventListener('abort', stop, { once: true });
  try {
    pending.add(undefined);
    again(0);
    for (;;) {
      await pending.wait();
      yield* pending.take();
      if (over) throw new StatusError('ServiceUnavailable', `ctr events ended: ${words.trim()}`);
    }
  } finally {
    cancel();
    imagesChanged(false);
    unsubscribe();
    signal.removeEventListener('abort', stop);
    command.kill();
  }
}

/** `TIME NAMESPACE /tasks/exit {…}`. Ends of commands that were run inside of a container have another id than it. */
export function exitOf(line: string): (KnownEnd & { readonly containerId: string }) | undefined {
  let event: unknown;
  try {
    event = JSON.parse(/ \/tasks\/exit (\{.*\})$/.exec(line)?.[1] ?? 'null');
  } catch {
    return undefined;
  }
  if (!isRecord(event) || typeof event['container_id'] !== 'string' || event['container_id'] !== event['id']) return undefined;
  const atMs = Date.parse(String(event['exited_at']).replace(/(\.\d{3})\d*/, '$1'));
  return { containerId: event['container_id'], exitCode: Number(event['exit_status'] ?? 0), atMs: Number.isNaN(atMs) ? 0 : atMs };
}
