import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { ShutdownGroup } from './policy.ts';

export interface ShutdownDeps {
  readonly pods: {
    /** Ends what runs of pods with a lower priority than that, for as long as it is not undone. Resolves when they have ended. */
    halt(below: number, graceSeconds: number, signal: AbortSignal): Promise<void>;
    resume(): void;
  };
  /** Yields true when the host is about to go down and waits, false when it does not after all; leaving the loop lets it go. */
  readonly preparations: (signal: AbortSignal) => AsyncIterable<boolean>;
  /** The node's status changes. */
  readonly changed: () => void;
  readonly clock: Clock;
  readonly log: Log;
}

export interface ShutdownConfig {
  /** One after the other, the lowest priority first. */
  readonly groups: readonly ShutdownGroup[];
}

const retry = { baseMs: 1000, maxMs: 300_000, jitter: 0.2 };

/**
 * Ends pods before the host goes down, by their priority: those of the system last. They have not failed, as
 * kubelet has it: when the host is up again they go on, whether or not a control plane can be asked.
 */
export class GracefulShutdown implements Runnable {
  readonly #deps: ShutdownDeps;
  readonly #config: ShutdownConfig;
  #going = false;

  constructor(deps: ShutdownDeps, config: ShutdownConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  /** Why no more pods should come; undefined while the host stays. */
  get notReady(): string | undefined { return this.#going ? 'node is shutting down' : undefined; }

  async start(signal: AbortSignal): Promise<void> {
    try {
      for (let failures = 1; ; failures++) {
        try {
          if (await this.#watch(signal)) failures = 0;
        } catch (error) {
          if (signal.aborted) throw error;
          this.#deps.log.warn({ err: messageOf(error) }, 'the host does not tell when it goes down; pods would end with it. Asking again');
        }
        await this.#deps.clock.sleep(backoffMs(retry, Math.max(1, failures), Math.random), signal);
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    }
  }

  /** Until the host goes down, or nothing more is heard. True when something was. */
  async #watch(signal: AbortSignal): Promise<boolean> {
    for await (const going of this.#deps.preparations(signal)) {
      this.#turn(going);
      if (!going) continue;
      await this.#endPods(signal);
      // The lock goes; if the host stays all the same, that is said to the next who asks.
      return true;
    }
    return false;
  }

  #turn(going: boolean): void {
    if (this.#going === going) return;
    this.#going = going;
    this.#deps.changed();
    this.#deps.log.warn({}, going ? 'the host is shutting down; ending its pods' : 'the host does not shut down after all');
    if (!going) this.#deps.pods.resume();
  }

  async #endPods(signal: AbortSignal): Promise<void> {
    const { groups } = this.#config;
    for (const [at, { graceMs: ms }] of groups.entries()) {
      const late = AbortSignal.any([signal, AbortSignal.timeout(ms)]);
      // A pod may not take the time of all others: what is left is the runtime's, and then the kernel's.
      await this.#deps.pods.halt(groups[at + 1]?.priority ?? Infinity, Math.max(1, Math.floor(ms / 1000) - 1), late).catch((error: unknown) => {
        if (signal.aborted) throw error;
        this.#deps.log.warn({ err: messageOf(error) }, 'not all pods have ended in time');
      });
    }
  }
}
