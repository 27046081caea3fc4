import type { AgentMessage } from '#proto/edge/v1/messages.ts';
import type { EventBuffer } from './event-buffer.ts';
import type { NodeReports, PodReport, PodReports } from './types.ts';

/**
 * What one session has yet to say. Of a node or pod only the latest status counts, so this holds at most one per
 * pod however slow the connection; at first it holds everything, because the control plane may have missed it.
 */
export class Outbox {
  readonly #node: NodeReports;
  readonly #events: EventBuffer;
  readonly #podReports = new Map<string, PodReport>();
  readonly #stops: (() => void)[];
  /** Told right before a heartbeat is sent. */
  readonly #sending: (sequence: number) => void;
  #heartbeat: number | undefined;
  #nodeChanged = true;
  #wake: () => void = () => undefined;

  constructor(deps: { pods: PodReports; node: NodeReports; events: EventBuffer; sending?: (sequence: number) => void }) {
    this.#sending = deps.sending ?? (() => undefined);
    this.#node = deps.node;
    this.#events = deps.events;
    for (const report of deps.pods.all()) this.#podReports.set(report.uid, report);
    this.#stops = [
      deps.pods.subscribe((report) => {
        this.#podReports.set(report.uid, report);
        this.#wake();
      }),
      deps.node.subscribe(() => {
        this.#nodeChanged = true;
        this.#wake();
      }),
      () => { deps.events.onEmit(() => undefined); },
    ];
    deps.events.onEmit(() => { this.#wake(); });
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.#wake();
  }

  /** `sequence` is what the control plane answers with. */
  heartbeat(sequence: number): void {
    this.#heartbeat = sequence;
    this.#wake();
  }

  /** Sends what there is, one message at a time, until the signal aborts. */
  async drain(send: (message: AgentMessage) => Promise<void>, nowMs: () => number, signal: AbortSignal): Promise<void> {
    signal.addEventListener('abort', () => { this.#wake(); }, { once: true });
    while (!signal.aborted) {
      if (this.#heartbeat !== undefined) {
        const sequence = this.#heartbeat;
        this.#heartbeat = undefined;
        this.#sending(sequence);
        await send({ heartbeat: { sentAtMs: nowMs(), sequence } });
      } else if (this.#nodeChanged) {
        this.#nodeChanged = false;
        await send({ nodeStatus: { report: json(this.#node.current()) } });
      } else if (this.#podReports.size > 0) {
        await this.#sendPod(send);
      } else if (this.#events.size > 0) {
        await this.#sendEvent(send);
      } else {
        await new Promise<void>((resolve) => { this.#wake = resolve; });
      }
    }
  }

  async #sendPod(send: (message: AgentMessage) => Promise<void>): Promise<void> {
    for (const [key, { namespace, name, uid, status, gone, mirror }] of this.#podReports) {
      this.#podReports.delete(key);
      await send({ podStatus: { namespace, name, uid, status: json(status), gone, ...(mirror && { mirror: json(mirror) }) } });
      return;
    }
  }

  async #sendEvent(send: (message: AgentMessage) => Promise<void>): Promise<void> {
    const waiting = this.#events.take();
    if (!waiting) return;
    try {
      await send({ event: { event: json(this.#events.timed(waiting)) } });
    } catch (error) {
      this.#events.putBack(waiting);
      throw error;
    }
  }
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}
