import type { Clock } from '#common/clock.ts';
import type { HostContact } from './contact.ts';

const mostUnanswered = 100;

/** Heartbeats of one session: when the next is due, and when the one that was answered had been sent. */
export class Beats {
  readonly #clock: Clock;
  readonly #contact: HostContact;
  /** By sequence: when it was sent, on the clock of the contact. */
  readonly #sent = new Map<number, number>();
  #sequence = 0;
  #periodMs = Infinity;
  #send: (sequence: number) => void = () => undefined;
  #stopTimer: () => void = () => undefined;

  constructor(deps: { readonly clock: Clock; readonly contact: HostContact }) {
    this.#clock = deps.clock;
    this.#contact = deps.contact;
  }

  /** The first at once, then one every `periodMs`, or more often where pods need it. */
  start(periodMs: number, send: (sequence: number) => void): void {
    this.#periodMs = periodMs;
    this.#send = send;
    this.#contact.onHurry(() => { this.#beat(); });
    this.#beat();
  }

  stop(): void {
    this.#stopTimer();
    this.#contact.onHurry(() => undefined);
  }

  /** Right before it is sent: from here on the time counts, however long the way is. */
  sending(sequence: number): void {
    this.#sent.set(sequence, this.#contact.nowMs());
    // An older control plane answers none.
    for (const oldest of this.#sent.keys()) if (oldest <= sequence - mostUnanswered) this.#sent.delete(oldest);
  }

  /** Heartbeats before this one will not be answered any more. */
  answered(sequence: number): void {
    const sentMs = this.#sent.get(sequence);
    if (sentMs === undefined) return;
    for (const earlier of this.#sent.keys()) if (earlier <= sequence) this.#sent.delete(earlier);
    this.#contact.heard(sentMs);
  }

  #beat(): void {
    this.#stopTimer();
    this.#send(++this.#sequence);
    this.#stopTimer = this.#clock.after(Math.max(100, Math.min(this.#periodMs, this.#contact.periodMs)), () => { this.#beat(); });
  }
}
