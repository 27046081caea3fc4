import type { AgentEvent, AgentEvents } from './types.ts';

const maxEvents = 1000;

/** Events that wait for the control plane: bounded, the oldest go first. */
export class EventBuffer implements AgentEvents {
  #events: AgentEvent[] = [];
  #wake: () => void = () => undefined;

  emit(event: AgentEvent): void {
    this.#events.push(event);
    if (this.#events.length > maxEvents) this.#events.shift();
    this.#wake();
  }

  /** Called after each `emit`; one listener, the session that is open. */
  onEmit(wake: () => void): void {
    this.#wake = wake;
  }

  get size(): number { return this.#events.length; }

  take(): AgentEvent | undefined {
    return this.#events.shift();
  }

  /** Back to where it was taken from: it was not sent. */
  putBack(event: AgentEvent): void {
    if (this.#events.length < maxEvents) this.#events.unshift(event);
  }
}
