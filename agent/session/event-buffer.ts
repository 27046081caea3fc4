import type { Clock } from '#common/clock.ts';
import type { AgentEvent, AgentEvents } from './types.ts';

const maxEvents = 1000;

/** What happened, how often, and when by this host's monotonic clock: the other one may be wrong. */
export interface WaitingEvent {
  readonly event: AgentEvent;
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** As the control plane is told: it may hear of it hours later. */
export interface TimedEvent extends AgentEvent {
  readonly count: number;
  readonly firstAgeMs: number;
  readonly lastAgeMs: number;
}

/** Events that wait for the control plane: repeats are counted, and of more than a thousand those that happened longest ago go. */
export class EventBuffer implements AgentEvents {
  readonly #clock: Pick<Clock, 'monotonic'>;
  /** By what makes them the same, the latest last. */
  #events = new Map<string, WaitingEvent>();
  #wake: () => void = () => undefined;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  emit(event: AgentEvent): void {
    const key = keyOf(event);
    const nowMs = this.#clock.monotonic();
    const earlier = this.#events.get(key);
    this.#events.delete(key);
    this.#events.set(key, { event, count: (earlier?.count ?? 0) + 1, firstMs: earlier?.firstMs ?? nowMs, lastMs: nowMs });
    if (this.#events.size > maxEvents) for (const oldest of this.#events.keys()) { this.#events.delete(oldest); break; }
    this.#wake();
  }

  /** Called after each `emit`; one listener, the session that is open. */
  onEmit(wake: () => void): void {
    this.#wake = wake;
  }

  get size(): number { return this.#events.size; }

  take(): WaitingEvent | undefined {
    for (const [key, waiting] of this.#events) {
      this.#events.delete(key);
      return waiting;
    }
    return undefined;
  }

  /** Back to where it was taken from: it was not sent. */
  putBack(waiting: WaitingEvent): void {
    const key = keyOf(waiting.event);
    const again = this.#events.get(key);
    if (again) this.#events.set(key, { ...again, count: again.count + waiting.count, firstMs: waiting.firstMs });
    else if (this.#events.size < maxEvents) this.#events = new Map([[key, waiting], ...this.#events]);
  }

  timed({ event, count, firstMs, lastMs }: WaitingEvent): TimedEvent {
    const nowMs = this.#clock.monotonic();
    return { ...event, count, firstAgeMs: nowMs - firstMs, lastAgeMs: nowMs - lastMs };
  }
}

function keyOf({ kind, namespace, name, uid, fieldPath, type, reason, message }: AgentEvent): string {
  return [kind, namespace, name, uid, fieldPath, type, reason, message].join('\0');
}
