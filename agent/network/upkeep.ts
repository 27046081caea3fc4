import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isIP } from '#api/meta/ip.ts';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import type { Exec } from '#common/exec.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import type { RuntimeDriver } from '#agent/runtimes/types.ts';
import type { AgentEvents } from '#agent/session/types.ts';
import { parseRoutes } from './routes.ts';

export interface NetworkUpkeepDeps {
  readonly driver: Pick<RuntimeDriver, 'list' | 'networks'>;
  readonly exec: Exec;
  readonly events: AgentEvents;
  readonly clock: Clock;
  readonly log: Log;
}

export interface NetworkUpkeepConfig {
  /** Where host-local keeps the addresses of our own network. */
  readonly leaseDirectory: string;
  /** After the start, when pods come before this. */
  readonly delayMs: number;
  readonly intervalMs: number;
  /** A younger lease may be of a sandbox that is not listed yet. */
  readonly leaseAgeMs: number;
}

export const networkUpkeepDefaults = { delayMs: 30_000, intervalMs: 3_600_000, leaseAgeMs: 600_000 } as const;

/**
 * Looks after what pods' networks leave behind. After a start, once: are those of running pods as they were made (CNI's CHECK)?
 * Then and once an hour: what belongs to no pod is given back, by the plugins (GC, from CNI 1.1 on) where this agent
 * calls them, and always the addresses that host-local keeps for us, which older versions never give back by themselves.
 */
export class NetworkUpkeep implements Runnable {
  readonly #deps: NetworkUpkeepDeps;
  readonly #config: NetworkUpkeepConfig;

  constructor(deps: NetworkUpkeepDeps, config: NetworkUpkeepConfig) {
    this.#deps = deps;
    this.#config = config;
  }

  async start(signal: AbortSignal): Promise<void> {
    const { clock, driver } = this.#deps;
    try {
      await clock.sleep(this.#config.delayMs, signal);
      await this.#attempt('networks of pods cannot be checked', () => this.#check(signal), signal);
      for (;;) {
        await this.#attempt('what pods\' networks left behind cannot be collected; trying again in an hour', async () => driver.networks?.collect(signal), signal);
        await this.#attempt('addresses that no pod has any more cannot be given back; trying again in an hour', () => this.#collectLeases(signal), signal);
        await clock.sleep(this.#config.intervalMs, signal);
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    }
  }

  async #attempt(failure: string, work: () => Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await work();
    } catch (error) {
      signal.throwIfAborted();
      this.#deps.log.warn({ err: messageOf(error) }, failure);
    }
  }

  async #check(signal: AbortSignal): Promise<void> {
    const { driver, events, clock, log } = this.#deps;
    for (const { podNamespace: namespace, podName: name, podUid: uid, problem } of await driver.networks?.check(signal) ?? []) {
      log.warn({ namespace, name, problem }, 'the network of a pod is not as it was made');
      events.emit({ kind: 'Pod', namespace, name, uid, type: 'Warning', reason: 'NetworkCheckFailed', message: `the network of this pod is not as it was made: ${problem}; delete the pod to have it made anew`, atMs: clock.now() });
    }
  }

  /** A lease is a file with the address for its name and the sandbox's id in its first line. */
  async #collectLeases(signal: AbortSignal): Promise<void> {
    const { driver, clock, log } = this.#deps;
    const leases = await this.#oldLeases();
    if (leases.length === 0) return;
    const ids = new Set((await driver.list(signal)).sandboxes.map(({ id }) => id));
    const lost = leases.filter(({ id }) => !ids.has(id));
    if (lost.length === 0) return;
    // Somebody else may run sandboxes with our configuration: an address that a link of this host leads to is in use.
    const used = await this.#routed(signal);
    const free = lost.filter(({ address }) => !used.has(address));
    for (const { path } of free) await rm(path, { force: true });
    if (free.length > 0) log.info({ addresses: free.map(({ address }) => address).slice(0, 20), count: free.length, atMs: clock.now() }, 'addresses that no pod has any more are free again');
  }

  async #oldLeases(): Promise<{ readonly address: string; readonly path: string; readonly id: string }[]> {
    const { leaseDirectory, leaseAgeMs } = this.#config;
    const names = (await readdir(leaseDirectory).catch(() => [])).filter((name) => isIP(name));
    const found = await Promise.all(names.map(async (address) => {
      const path = join(leaseDirectory, address);
      const [facts, text] = await Promise.all([stat(path).catch(() => undefined), readFile(path, 'utf8').catch(() => '')]);
      const id = text.split(/\r?\n/)[0]?.trim() ?? '';
      return facts && this.#deps.clock.now() - facts.mtimeMs > leaseAgeMs ? [{ address, path, id }] : [];
    }));
    return found.flat();
  }

  async #routed(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const used = new Set<string>();
    for (const family of ['-4', '-6']) {
      const { exitCode, stdout, stderr } = await this.#deps.exec('ip', [family, '-j', 'route', 'show'], { signal, maxBytes: 16 << 20 });
      if (exitCode !== 0) throw new Error(`ip: ${stderr.trim()}`);
      for (const { destination } of parseRoutes(stdout)) used.add(destination.replace(/\/(32|128)$/, ''));
    }
    return used;
  }
}
