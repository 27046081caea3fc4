import { uptime } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

/** Time as a dependency, so that tests and simulations drive it. */
export interface Clock {
  /** Wall-clock milliseconds since the epoch. May jump; use it for timestamps only. */
  now(): number;
  /** Monotonic milliseconds; use it for durations and deadlines. */
  monotonic(): number;
  /** As `monotonic`, but goes on while the machine sleeps: the two drift apart by as much as it slept. Absent where nothing sleeps. */
  uptime?(): number;
  /** Resolves after `ms`; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** Calls `fn` once after `ms`; the returned function cancels. Does not keep the process alive. */
  after(ms: number, fn: () => void): () => void;
}

/** Node's timers hold no more, and fire at once when asked to. */
const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  uptime: () => uptime() * 1000,
  sleep: async (ms, signal) => {
    let left = ms;
    for (; left > longestTimerMs; left -= longestTimerMs) await sleep(longestTimerMs, undefined, { signal });
    await sleep(left, undefined, { signal });
  },
  after: (ms, fn) => {
    let timer: NodeJS.Timeout;
    const arm = (left: number): void => {
      timer = left > longestTimerMs ? setTimeout(() => { arm(left - longestTimerMs); }, longestTimerMs) : setTimeout(fn, left);
      timer.unref();
    };
    arm(ms);
    return () => { clearTimeout(timer); };
  },
};

interface Timer { readonly at: number; readonly fn: () => void }

/** A clock that moves only when told to. Timers due fire in order of time. */
export class ManualClock implements Clock {
  #now: number;
  #wallOffset = 0;
  #sleptMs = 0;
  #timers: Timer[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#now = startMs;
  }

  now(): number { return this.#now + this.#wallOffset; }
  monotonic(): number { return this.#now; }
  uptime(): number { return this.#now + this.#sleptMs; }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) { reject(signal.reason as Error); return; }
      const cancel = this.after(ms, () => { signal.removeEventListener('abort', abort); resolve(); });
      const abort = (): void => { cancel(); reject(signal.reason as Error); };
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.#now + ms, fn };
    this.#timers.push(timer);
    return () => { this.#timers = this.#timers.filter((t) => t !== timer); };
  }

  /** Sets the wall clock forward or back, as NTP or a person does; no time passes. */
  jump(ms: number): void {
    this.#wallOffset += ms;
  }

  /** The machine sleeps: timers and `monotonic` stand still meanwhile. */
  suspend(ms: number): void {
    this.#wallOffset += ms;
    this.#sleptMs += ms;
  }

  /** The process is stopped for a while: what fell due fires late, all at once. */
  async stall(ms: number): Promise<void> {
    this.#now += ms;
    await this.advance(0);
  }

  /** Moves time forward by `ms`, firing what falls due and letting promises settle in between. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settle();
      const due = this.#timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((t) => t !== due);
      this.#now = Math.max(this.#now, due.at);
      due.fn();
    }
    this.#now = end;
    await settle();
  }
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
  await new Promise<void>((resolve) => { setImmediate(resolve); });
}
