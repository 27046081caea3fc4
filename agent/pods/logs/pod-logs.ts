import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { TaskGroup, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { LogRotation, RuntimeDriver, RuntimeSnapshot } from '#agent/runtimes/types.ts';
import type { LogQuery } from '#agent/session/types.ts';
import { queryLogs, type LogDeps } from './query.ts';
import { rotateLog } from './rotate.ts';

export interface PodLogsDeps extends Pick<LogDeps, 'waitingReason'> {
  readonly driver: RuntimeDriver;
  readonly clock: Clock;
  readonly log: Log;
  readonly rotation: LogRotation;
  /** Whether this host has any pods. */
  readonly hasPods: () => boolean;
}

/** Somebody who follows a container's log until it ends. */
interface EndWaiter {
  readonly podUid: string;
  readonly containerId: string;
  readonly ended: () => void;
}

const rotationMs = 60_000;
const busyRotationMs = 10_000;

/** The logs of this host's containers: answers who asks for them, tells followers when a container ends, and rotates the files. */
export class PodLogs implements Runnable {
  readonly #deps: PodLogsDeps;
  readonly #tasks: TaskGroup;
  readonly #waiters = new Set<EndWaiter>();
  #signal: AbortSignal = AbortSignal.abort();

  constructor(deps: PodLogsDeps) {
    this.#deps = deps;
    this.#tasks = new TaskGroup(deps.log);
  }

  async start(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    try {
      await this.#rotate(signal);
    } finally {
      await this.#tasks.drain();
    }
  }

  query(request: LogQuery, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const { driver, clock, waitingReason } = this.#deps;
    return queryLogs({ driver, clock, waitingReason, untilEnded: (uid, id, stop) => this.#untilEnded(uid, id, stop) }, request, signal);
  }

  /** Something has happened to the pod's containers. */
  changed(podUid: string): void {
    if ([...this.#waiters].some((waiter) => waiter.podUid === podUid)) this.#tasks.run('ended containers', this.#signal, () => this.#look(podUid));
  }

  /** What is there now, of all pods or of one: who follows a container that does not run is told. */
  seen({ containers }: RuntimeSnapshot, podUid?: string): void {
    const running = new Set(containers.filter((c) => c.state === 'running').map((c) => c.id));
    for (const waiter of this.#waiters) {
      if ((podUid === undefined || waiter.podUid === podUid) && !running.has(waiter.containerId)) waiter.ended();
    }
  }

  /** A runtime that does not answer now will be asked again: with its return comes a look at everything. */
  async #look(podUid: string): Promise<void> {
    const snapshot = await this.#deps.driver.list(this.#signal, podUid).catch(() => undefined);
    if (snapshot) this.seen(snapshot, podUid);
  }

  async #untilEnded(podUid: string, containerId: string, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const waiter = { podUid, containerId, ended: () => { resolve(undefined); } };
    this.#waiters.add(waiter);
    signal.addEventListener('abort', waiter.ended, { once: true });
    if (signal.aborted) waiter.ended();
    try {
      // It may have ended before anybody listened.
      await this.#look(podUid);
      await promise;
    } finally {
      this.#waiters.delete(waiter);
      signal.removeEventListener('abort', waiter.ended);
    }
  }

  /** Growth of a file has no event worth its price: logs are measured once a minute, and sooner while some grow fast. */
  async #rotate(signal: AbortSignal): Promise<void> {
    for (let waitMs = rotationMs; ;) {
      await this.#deps.clock.sleep(waitMs, signal);
      waitMs = this.#deps.hasPods() && await this.#rotateAll(signal) ? busyRotationMs : rotationMs;
    }
  }

  /** True when some log was full. One that cannot be rotated is in no other's way. */
  async #rotateAll(signal: AbortSignal): Promise<boolean> {
    const { driver, log, rotation } = this.#deps;
    let rotated = false;
    const attempt = async (what: () => Promise<void>): Promise<void> => what().catch((error: unknown) => {
      if (signal.aborted) throw error;
      log.debug({ err: messageOf(error) }, 'log rotation failed');
    });
    await attempt(async () => {
      for (const container of (await driver.list(signal)).containers) {
        if (container.state === 'running') await attempt(async () => { if (await rotateLog(driver, container, rotation, signal)) rotated = true; });
      }
    });
    return rotated;
  }
}
