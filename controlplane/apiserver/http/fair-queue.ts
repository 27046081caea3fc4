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

/** A priority level: whose requests share the seats with those of others by its shares, when there are fewer seats than requests. */
export interface Level {
  readonly name: string;
  readonly shares: number;
  /** Its requests are seated before all others. */
  readonly exempt: boolean;
  /** Its requests do not wait. */
  readonly rejects: boolean;
}

/** Requests that wait for each other: those of one user, or what the FlowSchema says. */
export interface Flow {
  readonly key: string;
  readonly level: Level;
  /** The FlowSchema's name. */
  readonly schema: string;
}

interface Waiting { readonly admit: () => void }

/** What /metrics tells of a level, by FlowSchema. */
interface Count { readonly labels: Readonly<Record<string, string>>; running: number; waiting: number }

interface Line {
  readonly flow: Flow;
  readonly count: Count;
  running: number;
  readonly waiting: Set<Waiting>;
  /** When one of its requests last got a seat: a count, not a time. */
  servedAt: number;
}

const labels = ['flow_schema', 'priority_level'];

/**
 * Seats for requests. A seat that becomes free goes to the priority level that has the fewest for its shares, there to the
 * flow that holds the fewest and, among those, has waited longest for a turn: who sends the most waits for itself, not others
 * for it. Every seat may be used by every level while the others do not ask for it. The idea is that of Kubernetes' API
 * priority and fairness (https://kubernetes.io/docs/concepts/cluster-administration/flow-control/).
 */
export class FairQueue {
  readonly #clock: Clock;
  readonly #config: FairQueueConfig;
  readonly #lines = new Map<string, Line>();
  readonly #counts = new Map<string, Count>();
  readonly #runningOf = new Map<string, number>();
  readonly #rejected = new Counter('apiserver_flowcontrol_rejected_requests_total', 'Requests refused because too many waited, or for too long.', [...labels, 'reason']);
  readonly #dispatched = new Counter('apiserver_flowcontrol_dispatched_requests_total', 'Requests that got a seat.', labels);
  #running = 0;
  #waiting = 0;
  #turn = 0;

  constructor(clock: Clock, config: FairQueueConfig) {
    this.#clock = clock;
    this.#config = config;
  }

  /** Resolves with what gives the seat back. Rejects with `TooManyRequests`, or with the signal's reason. */
  async enter(flow: Flow, signal: AbortSignal): Promise<() => void> {
    const line = this.#lineOf(flow);
    if (this.#hasSeat(line)) this.#seat(line);
    else await this.#wait(line, signal);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#change(line, -1);
      this.#admitNext();
      this.#forget(line);
    };
  }

  * collect(): Iterable<Family> {
    const counts = [...this.#counts.values()];
    yield gauge('apiserver_flowcontrol_current_executing_requests', 'Requests that have a seat.', counts.map(({ labels: of, running }) => ({ labels: of, value: running })));
    yield gauge('apiserver_flowcontrol_current_inqueue_requests', 'Requests that wait for a seat.', counts.map(({ labels: of, waiting }) => ({ labels: of, value: waiting })));
    yield* this.#rejected.collect();
    yield* this.#dispatched.collect();
  }

  #lineOf(flow: Flow): Line {
    let line = this.#lines.get(flow.key);
    if (!line) this.#lines.set(flow.key, line = { flow, count: this.#countOf(flow), running: 0, waiting: new Set(), servedAt: 0 });
    return line;
  }

  #countOf({ schema, level }: Flow): Count {
    const key = `${schema}\n${level.name}`;
    let count = this.#counts.get(key);
    if (!count) this.#counts.set(key, count = { labels: { flow_schema: schema, priority_level: level.name }, running: 0, waiting: 0 });
    return count;
  }

  #forget(line: Line): void {
    if (line.running === 0 && line.waiting.size === 0) this.#lines.delete(line.flow.key);
  }

  #hasSeat(line: Line): boolean {
    return this.#running < this.#config.seats && line.running < this.#config.seatsPerUser;
  }

  #seat(line: Line): void {
    this.#change(line, 1);
    line.servedAt = ++this.#turn;
    this.#dispatched.add([line.flow.schema, line.flow.level.name]);
  }

  #change(line: Line, by: 1 | -1): void {
    const { level } = line.flow;
    this.#running += by;
    line.running += by;
    line.count.running += by;
    this.#runningOf.set(level.name, (this.#runningOf.get(level.name) ?? 0) + by);
  }

  async #wait(line: Line, signal: AbortSignal): Promise<void> {
    const { maxWaitingPerUser, maxWaiting, maxWaitMs } = this.#config;
    const { rejects } = line.flow.level;
    if (rejects || line.waiting.size >= maxWaitingPerUser || this.#waiting >= maxWaiting) {
      this.#forget(line);
      throw this.#refused(line, rejects ? 'concurrency-limit' : 'queue-full');
    }
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    const one: Waiting = { admit: () => { this.#seat(line); resolve(undefined); } };
    // At once, so that no seat is given to one who has left.
    const leave = (reason: Error): void => {
      if (!line.waiting.delete(one)) return;
      this.#waiting--;
      line.count.waiting--;
      this.#forget(line);
      reject(reason);
    };
    const abort = (): void => { leave(signal.reason as Error); };
    line.waiting.add(one);
    this.#waiting++;
    line.count.waiting++;
    const cancel = this.#clock.after(maxWaitMs, () => { leave(this.#refused(line, 'time-out')); });
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
    let next: Line | undefined;
    for (const line of this.#lines.values()) {
      if (line.waiting.size > 0 && this.#hasSeat(line) && (!next || this.#isBefore(line, next))) next = line;
    }
    const [one] = next?.waiting ?? [];
    if (!next || !one) return;
    next.waiting.delete(one);
    this.#waiting--;
    next.count.waiting--;
    one.admit();
  }

  #isBefore(a: Line, b: Line): boolean {
    const [levelOfA, levelOfB] = [this.#portion(a.flow.level), this.#portion(b.flow.level)];
    if (a.flow.level.name !== b.flow.level.name && levelOfA !== levelOfB) return levelOfA < levelOfB;
    return a.running === b.running ? a.servedAt < b.servedAt : a.running < b.running;
  }

  /** What a level has for its shares: who has the least is next. */
  #portion({ name, shares, exempt }: Level): number {
    return exempt ? -1 : (this.#runningOf.get(name) ?? 0) / Math.max(shares, 0.001);
  }

  #refused({ flow }: Line, reason: string): StatusError {
    this.#rejected.add([flow.schema, flow.level.name, reason]);
    return new StatusError('TooManyRequests', 'too many requests, please try again later', { retryAfterMs: 1000 });
  }
}
