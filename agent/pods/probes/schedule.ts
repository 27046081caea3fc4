import type { Clock } from '#common/clock.ts';

interface Slot {
  readonly cancel: () => void;
  readonly due: Set<() => void>;
}

const slotMs = 1000;
/** So many open connections at once are little for a host, and for programs that all answer at the same time. */
const fullSlot = 16;

/**
 * Lets probes of all pods begin together, at whole seconds. A process that sleeps pays for waking up more than for what a
 * probe does then: six probes at once cost less than two apart.
 */
export class ProbeSchedule {
  readonly #clock: Clock;
  readonly #slots = new Map<number, Slot>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Calls `fn` once, within half a second of the (monotonic) time, at once when that has passed, or some seconds earlier
   * when many others are due then, as after a start, when all have begun together. The returned function cancels.
   */
  at(timeMs: number, fn: () => void): () => void {
    const nowMs = this.#clock.monotonic();
    if (timeMs <= nowMs) return this.#clock.after(0, fn);
    const wanted = Math.max(Math.round(timeMs / slotMs), Math.floor(nowMs / slotMs) + 1);
    const number = this.#withRoom(wanted, Math.floor(nowMs / slotMs));
    const slot = this.#slots.get(number) ?? this.#open(number, nowMs);
    // Each its own, so that two that do the same are two.
    const call = (): void => { fn(); };
    slot.due.add(call);
    return () => {
      slot.due.delete(call);
      if (slot.due.size === 0 && this.#slots.get(number) === slot) {
        slot.cancel();
        this.#slots.delete(number);
      }
    };
  }

  #withRoom(wanted: number, after: number): number {
    for (let number = wanted; number > after; number--) if ((this.#slots.get(number)?.due.size ?? 0) < fullSlot) return number;
    return wanted;
  }

  #open(number: number, nowMs: number): Slot {
    const slot: Slot = {
      due: new Set(),
      cancel: this.#clock.after(number * slotMs - nowMs, () => {
        this.#slots.delete(number);
        for (const call of slot.due) call();
      }),
    };
    this.#slots.set(number, slot);
    return slot;
  }
}
