import { readFile } from 'node:fs/promises';
import type { Clock } from '#common/clock.ts';
import { messageOf } from '#common/errors.ts';
import { isAbort, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { nodeEvent } from '#agent/session/node-event.ts';
import type { AgentEvents } from '#agent/session/types.ts';
import type { Exec } from '#common/exec.ts';
import { firewalldTable, firewallHooks, type FirewallHook } from './hooks.ts';

export interface FirewallNeighboursDeps {
  readonly exec: Exec;
  /** Notes what is changed (see `closeHook`) before it is. */
  readonly record: (target: string) => Promise<void>;
  readonly events: AgentEvents;
  readonly clock: Clock;
  readonly log: Log;
}

export interface FirewallNeighboursConfig {
  readonly nodeName: string;
  /** Ranges of all pods of the cluster. */
  readonly podCidrs: readonly string[];
  readonly checkIntervalMs: number;
}

/**
 * Asks the firewalls of others on this host to let pods through: what one of them drops, no rule of ours brings back.
 * Each by the one way that it documents for that; nothing else of theirs is touched. Where there is none nothing is done.
 */
export class FirewallNeighbours implements Runnable {
  readonly #deps: FirewallNeighboursDeps;
  readonly #config: FirewallNeighboursConfig;
  readonly #hooks: readonly FirewallHook[];
  readonly #opened = new Set<FirewallHook>();

  constructor(deps: FirewallNeighboursDeps, config: FirewallNeighboursConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#hooks = firewallHooks(deps.exec, config.podCidrs);
  }

  async start(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        await this.check(signal);
        await this.#deps.clock.sleep(this.#config.checkIntervalMs, signal);
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    }
  }

  /** One look at all of them. */
  async check(signal: AbortSignal): Promise<void> {
    const tables = await this.#tables(signal);
    const isFiltered = await this.#isFiltered(tables);
    for (const hook of this.#hooks) {
      try {
        // To ask for a chain would make the table where there is none.
        if ((isFiltered || (hook.name === 'firewalld' && tables.has(`inet ${firewalldTable}`))) && await hook.isThere(signal)) await this.#keepOpen(hook, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        this.#deps.log.warn({ firewall: hook.name, err: messageOf(error) }, 'another firewall on this host could not be asked to let pods through');
        if (!this.#opened.has(hook)) this.#tell('Warning', 'FirewallNotOpened', `${hook.name} on this host may drop packets of pods, and could not be told otherwise: ${messageOf(error)}`);
        this.#opened.add(hook);
      }
    }
  }

  async #keepOpen(hook: FirewallHook, signal: AbortSignal): Promise<void> {
    if (await hook.isOpen(signal)) { this.#opened.add(hook); return; }
    await this.#deps.record(hook.target);
    await hook.open(signal);
    if (this.#opened.has(hook)) this.#tell('Warning', 'FirewallRulesRemoved', `another program removed what lets pods through ${hook.name} (${hook.what}); it is put back`);
    else this.#tell('Normal', 'FirewallOpened', `pods are let through ${hook.name} by ${hook.what}`);
    this.#opened.add(hook);
    this.#deps.log.info({ firewall: hook.name, what: hook.what }, 'pods are let through another firewall');
  }

  /** Whether somebody has rules of iptables in the kernel, of either flavour. */
  async #isFiltered(tables: ReadonlySet<string>): Promise<boolean> {
    const legacy = await Promise.all(['ip_tables_names', 'ip6_tables_names'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')));
    return legacy.some((names) => names.split('\n').includes('filter')) || tables.has('ip filter') || tables.has('ip6 filter');
  }

  /** All of nftables, by family and name. */
  async #tables(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const { exitCode, stdout } = await this.#deps.exec('nft', ['list', 'tables'], { signal }).catch(() => ({ exitCode: 1, stdout: '' }));
    return new Set(exitCode === 0 ? stdout.split('\n').map((line) => line.replace('table ', '').trim()) : []);
  }

  #tell(type: 'Normal' | 'Warning', reason: string, message: string): void {
    const { nodeName } = this.#config;
    this.#deps.events.emit(nodeEvent(nodeName, this.#deps.clock, type, reason, message));
  }
}
