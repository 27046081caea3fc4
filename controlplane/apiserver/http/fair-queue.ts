import type { Clock } from '#common/clock.ts';
import { StatusError } from '#common/errors.ts';
import { Counter, gauge, type Family } from '#common/metrics.ts';

export interface FairQueueConfig {
  /** Requests worked on at once. */
  readonly seats: number;
  /** Most seats that one user may hold, so that a user whose requests take long never holds them all. */
  readonly seatsPerUser: number;
  /** Requests that may wait, of one user and altogether. */
  readonly maxWaitingPerUser: number;
  readonly maxWaiting: number;
  readonly maxWaitMs: number;
}

interface Waiting { readonly admit: () => void }

interface Flow {
  readonly user: string;
  running: number;
  readonly waiting: Set<Waiting>;
  /** When one of its requests last got a seat: a count, not a time. */
  servedAt: number;
}

/**
 * Seats for requests. A seat that becomes free goes to the user who holds the fewest and, among those, has waited
 * longest for a turn: who sends the most waits for itself, not others for it. The idea is that of Kubernetes' API
 * priority and fairness (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/), with one level.
 */
export class FairQueue {
  readonly #clock: Clock;
  readonly #config: FairQueueConfig;
  readonly #flows = new Map<string, Flow>();
  readonly #rejected = new Counter('apiserver_flowcontrol_rejected_requests_total', 'Requests refused because too many waited, or for too long.', ['reason']);
  #running = 0;
  #waiting = 0;
  #turn = 0;

  constructor(clock: Clock, config: FairQueueConfig) {
    this.#clock = clock;
    this.#config = config;
  }

  /** Resolves with what gives the seat back. Rejects with `TooManyRequests`, or with the signal's reason. */
  async enter(user: string, signal: AbortSignal): Promise<() => void> {
    const flow = this.#flowOf(user);
    if (this.#hasSeat(flow)) this.#seat(flow);
    else await this.#wait(flow, signal);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#running--;
      flow.running--;
      this.#admitNext();
      this.#forget(flow);
    };
  }

  * collect(): Iterable<Family> {
    yield gauge('apiserver_flowcontrol_current_executing_requests', 'Requests that have a seat.', [{ value: this.#running }]);
    yield gauge('apiserver_flowcontrol_current_inqueue_requests', 'Requests that wait for a seat.', [{ value: this.#waiting }]);
    yield* this.#rejected.collect();
  }

  #flowOf(user: string): Flow {
    let flow = this.#flows.get(user);
    if (!flow) this.#flows.set(user, flow = { user, running: 0, waiting: new Set(), servedAt: 0 });
    return flow;
  }

  #forget(flow: Flow): void {
    if (flow.running === 0 && flow.waiting.size === 0) this.#flows.delete(flow.user);
  }

  #hasSeat(flow: Flow): boolean {
    return this.#running < this.#config.seats && flow.running < this.#config.seatsPerUser;
  }

  #seat(flow: Flow): void {
    this.#running++;
    flow.running++;
    flow.servedAt = ++this.#turn;
  }

  async #wait(flow: Flow, signal: AbortSignal): Promise<void> {
    const { maxWaitingPerUser, maxWaiting, maxWaitMs } = this.#config;
    if (flow.waiting.size >= maxWaitingPerUser || this.#waiting >= maxWaiting) {
      this.#forget(flow);
      throw this.#refused('queue-full');
    }
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const one: Waiting = { admit: () => { this.#seat(flow); resolve(undefined); } };
    // At once, so that no seat is given to one who has left.
    const leave = (reason: Error): void => {
      if (!flow.waiting.delete(one)) return;
      this.#waiting--;
      this.#forget(flow);
      reject(reason);
    };
    const abort = (): void => { leave(signal.reason as Error); };
    flow.waiting.add(one);
    this.#waiting++;
    const cancel = this.#clock.after(maxWaitMs, () => { leave(this.#refused('time-out')); });
    signal.addEventListener('abort', abort, { once: true });
    if (signal.aborted) abort();
    try {
      await promise;
    } finally {
      cancel();
      signal.removeEventListener('abort', abort);
    }
  }

  #admitNext(): void {
    let next: Flow | undefined;
    for (const flow of this.#flows.values()) {
      if (flow.waiting.size === 0 || !this.#hasSeat(flow)) continue;
      if (!next || flow.running < next.running || (flow.running === next.running && flow.servedAt < next.servedAt)) next = flow;
    }
    const [one] = next?.waiting ?? [];
    if (!next || !one) return;
    next.waiting.delete(one);
    this.#waiting--;
    one.admit();
  }

  #refused(reason: string): StatusError {
    this.#rejected.add([reason]);
    return new StatusError('TooManyRequests', 'too many requests, please try again later', { retryAfterMs: 1000 });
  }
}
