import { existsSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { exec } from '#common/exec.ts';
import { untilAborted, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { version } from '#common/version.ts';
import { dismissGuard, readPending, restartStale, restartUnits, takeBack } from './install.ts';
import { upgradePaths } from './paths.ts';

export interface ConfirmDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** What is not well yet; undefined when this agent is connected and its node ready. */
  readonly unwell: () => string | undefined;
  /** Says what became of it. */
  readonly tell: (type: 'Normal' | 'Warning', reason: string, message: string) => void;
}

const lookMs = 1000;

/** Whether somebody has to look: an upgrade is under way on this host, or one was taken back. */
export function upgradeToConfirm(stateDir: string): boolean {
  const { pending, failed } = upgradePaths(stateDir);
  return existsSync(pending) || existsSync(failed);
}

/** An agent that came up with another executable shows that it works, or goes back to the one before. */
export class UpgradeConfirmation implements Runnable {
  readonly #deps: ConfirmDeps;
  readonly #stateDir: string;

  constructor(deps: ConfirmDeps, stateDir: string) {
    this.#deps = deps;
    this.#stateDir = stateDir;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { log } = this.#deps;
    try {
      await this.#confirm(signal);
    } catch (error) {
      if (!signal.aborted) log.error({ err: messageOf(error) }, 'an upgrade could neither be confirmed nor taken back');
    }
    await untilAborted(signal);
  }

  async #confirm(signal: AbortSignal): Promise<void> {
    const { clock, log, tell, unwell } = this.#deps;
    const paths = upgradePaths(this.#stateDir);
    const pending = await readPending(this.#stateDir);
    // Whoever exchanged the executable may have been cut off before the control plane began anew with it.
    await restartStale(log);
    // Not this one's: cut off before the new one was in its place, or after the old one was back there.
    const notMine = pending?.from === version && pending.to !== version;
    if (!pending || notMine) {
      await rm(paths.pending, { force: true });
      const why = await readFile(paths.failed, 'utf8').catch(() => undefined);
      if (why !== undefined) tell('Warning', 'UpgradeTakenBack', `The host went back to ${version}: ${why.trim()}`);
      await rm(paths.failed, { force: true });
      return;
    }
    const startedMs = clock.monotonic();
    for (let why = unwell(); why !== undefined; why = unwell()) {
      if (clock.monotonic() - startedMs > pending.confirmMs) {
        log.error({ from: pending.to, to: pending.from, why }, 'the new executable does not work here; going back to the one before');
        await takeBack(this.#stateDir, pending, why);
        await restartUnits(log);
        return;
      }
      await clock.sleep(lookMs, signal);
    }
    tell('Normal', 'Upgraded', `Upgraded from ${pending.from} to ${version}`);
    await exec('systemctl', ['stop', 'cleat-upgrade-guard.timer']).catch(() => undefined);
    await dismissGuard(this.#stateDir);
    // Of an attempt to take it back that was cut off before it did.
    await rm(paths.failed, { force: true });
    // Last: whoever is cut off before this does it all again.
    await rm(paths.pending, { force: true });
    log.info({ from: pending.from, to: version }, 'the upgrade works');
  }
}
