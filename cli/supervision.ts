import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { onAbort } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';

export interface SupervisionDeps {
  /** Runs `systemd-notify` with these words. */
  readonly notify: (words: readonly string[]) => Promise<void>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Tells systemd, where it supervises this process, that the work has begun, that it still goes on and that it ends
 * (https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html). Its socket takes datagrams, which Node
 * cannot send, so `systemd-notify` does; every host with systemd has it.
 */
export class Supervision {
  readonly #deps: SupervisionDeps;
  readonly #supervised: boolean;
  /** Half of the time after which systemd takes silence for death; 0 when it does not. */
  readonly #periodMs: number;

  constructor(deps: SupervisionDeps, env: Readonly<NodeJS.ProcessEnv>) {
    this.#deps = deps;
    this.#supervised = (env['NOTIFY_SOCKET'] ?? '') !== '';
    this.#periodMs = this.#supervised ? Math.floor(Number(env['WATCHDOG_USEC'] ?? 0) / 2000) : 0;
  }

  /** The work has begun. From here on silence is death, until the signal aborts: that is said, too. */
  async ready(status: string, signal: AbortSignal): Promise<void> {
    if (!this.#supervised) return;
    await this.#tell('--ready', `--status=${status}`);
    onAbort(signal, () => { void this.#tell('STOPPING=1'); });
    if (this.#periodMs > 0) this.#beat(signal);
  }

  /** What `systemctl status` shows of it. */
  async status(status: string): Promise<void> {
    if (this.#supervised) await this.#tell(`--status=${status}`);
  }

  /** A loop that hangs anywhere in this process beats no more. */
  #beat(signal: AbortSignal): void {
    if (signal.aborted) return;
    const cancel = this.#deps.clock.after(this.#periodMs, () => {
      void this.#tell('WATCHDOG=1').then(() => { this.#beat(signal); });
    });
    signal.addEventListener('abort', cancel, { once: true });
  }

  async #tell(...words: string[]): Promise<void> {
    try {
      await this.#deps.notify(words);
    } catch (error) {
      this.#deps.log.warn({ words, err: messageOf(error) }, 'systemd could not be told; is systemd-notify installed?');
    }
  }
}
