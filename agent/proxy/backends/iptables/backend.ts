import { hash, randomBytes } from 'node:crypto';
import { messageOf, StatusError } from '#common/errors.ts';
import { familiesOf, type Family } from '../../families.ts';
import { StaleFlows } from '../../stale-flows.ts';
import type { ProxyBackend, ProxyBackendDeps, ProxyChange, ProxyConfig, ServicePort } from '../../types.ts';
import { lockSeconds, presentChains, removeChains, restore } from './commands.ts';
import { changeText, replaceText, stateChain, type Present } from './restore.ts';
import { jumps, ruleset, type Ruleset, type RulesConfig } from './rules.ts';

const maxChainLetters = 28;

/** Routes Services with iptables, whichever flavour (legacy or nft) the host's commands are of: chains of our own, changed by one `iptables-restore --noflush` a family. */
export class IptablesBackend implements ProxyBackend {
  readonly name = 'iptables';
  readonly #deps: ProxyBackendDeps;
  readonly #prefix: string;
  readonly #rules: RulesConfig;
  readonly #families: readonly Family[];
  readonly #flows: StaleFlows;
  readonly #ports = new Map<string, ServicePort>();
  /** By family: what the kernel was last given, and the name of that. */
  readonly #applied = new Map<Family, { readonly rules: Ruleset; readonly generation: string }>();

  constructor(deps: ProxyBackendDeps, config: ProxyConfig) {
    this.#deps = deps;
    this.#prefix = config.tableName.toUpperCase();
    this.#rules = rulesConfig(config, this.#prefix);
    this.#families = familiesOf(config);
    this.#flows = new StaleFlows(deps, this.#families);
  }

  async unusable(signal: AbortSignal): Promise<string | undefined> {
    const none: Present = { chains: new Set(), jumps: new Set() };
    const probe = rulesConfig(this.#rules, `${this.#prefix}-P`);
    for (const family of this.#families) {
      const text = replaceText(ruleset(probePorts(family), family, probe), { nat: none, filter: none }, 'probe', probe);
      let result;
      try {
        result = await this.#deps.exec(`${commandOf(family)}-restore`, ['--test', '--noflush', '-w', lockSeconds], { input: text, signal });
      } catch (error) {
        signal.throwIfAborted();
        return `${commandOf(family)} cannot be run (${messageOf(error)}); install the iptables package (Debian: apt-get install iptables)`;
      }
      if (result.exitCode === 0) continue;
      const words = result.stderr.trim().split('\n')[0] ?? '';
      if (/not permitted|denied|you must be root/i.test(words)) return `${commandOf(family)} may not change rules (${words}); run as root or with CAP_NET_ADMIN`;
      return `this kernel or iptables lacks a match or target that Service routing needs (${words}); needed are addrtype, comment, conntrack, mark, recent, statistic, DNAT, MASQUERADE and REJECT`;
    }
    return undefined;
  }

  async replace(all: readonly ServicePort[], signal: AbortSignal): Promise<void> {
    this.#applied.clear();
    for (const family of this.#families) {
      await this.#deps.record('iptables-chains', `${commandOf(family)} ${this.#prefix}`);
      const [rules, generation] = [ruleset(all, family, this.#rules), newGeneration()];
      await this.#restore(family, replaceText(rules, await presentChains(this.#deps.exec, commandOf(family), this.#prefix, signal), generation, this.#rules), signal);
      this.#applied.set(family, { rules, generation });
    }
    this.#ports.clear();
    for (const port of all) this.#ports.set(port.id, port);
    await this.#flows.replaced(all, signal);
  }

  async apply(change: ProxyChange, signal: AbortSignal): Promise<void> {
    if (this.#applied.size === 0) throw new StatusError('Conflict', 'nothing was applied yet; replace first');
    for (const id of change.removed) this.#ports.delete(id);
    for (const port of change.set) this.#ports.set(port.id, port);
    for (const [family, before] of this.#applied) {
      const [rules, generation] = [ruleset([...this.#ports.values()], family, this.#rules), newGeneration()];
      const text = changeText(before.rules, rules, { before: before.generation, after: generation }, this.#rules);
      if (text === '') continue;
      await this.#restore(family, text, signal);
      this.#applied.set(family, { rules, generation });
    }
    await this.#flows.changed(change, signal);
  }

  async intact(signal: AbortSignal): Promise<boolean> {
    for (const family of this.#families) {
      for (const table of ['nat', 'filter'] as const) {
        const state = await this.#list(family, table, this.#rules.chain(stateChain), signal);
        if (!state.includes(this.#applied.get(family)?.generation ?? 'nothing')) return false;
        for (const [of, builtin, , chain] of jumps) {
          if (of === table && !(await this.#list(family, table, builtin, signal)).includes(`-j ${this.#rules.chain(chain)}\n`)) return false;
        }
      }
    }
    return true;
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    // Both families, whatever is configured now: an earlier life may have used the other one.
    for (const family of ['ip', 'ip6'] as const) await removeChains(this.#deps.exec, commandOf(family), this.#prefix, signal);
    this.#applied.clear();
  }

  async #list(family: Family, table: string, chain: string, signal: AbortSignal): Promise<string> {
    const { exitCode, stdout } = await this.#deps.exec(commandOf(family), ['-w', lockSeconds, '-t', table, '-S', chain], { signal });
    return exitCode === 0 ? stdout : '';
  }

  async #restore(family: Family, text: string, signal: AbortSignal): Promise<void> {
    try {
      await restore(this.#deps.exec, commandOf(family), text, signal);
    } catch (error) {
      this.#applied.clear();
      throw error;
    }
  }
}

/** Names one state of the rules, so that a change is made on that state or not at all. */
function newGeneration(): string {
  return randomBytes(8).toString('hex');
}

function commandOf(family: Family): string {
  return family === 'ip' ? 'iptables' : 'ip6tables';
}

function rulesConfig(config: ProxyConfig, prefix: string): RulesConfig {
  return {
    ...config,
    chain: (name) => `${prefix}-${name}`,
    own: (kind, id) => `${kind}-${hash('sha256', id, 'hex').toUpperCase().slice(0, maxChainLetters - prefix.length - kind.length - 2)}`,
  };
}

/** Ports that use every match and target there is. */
function probePorts(family: Family): ServicePort[] {
  const [service = '', one = '', two = ''] = family === 'ip' ? ['192.0.2.1', '192.0.2.2', '192.0.2.3'] : ['2001:db8::1', '2001:db8::2', '2001:db8::3'];
  const endpoints = [{ ip: one, port: 1, local: true }, { ip: two, port: 1, local: false }];
  const port: ServicePort = {
    id: 'probe/probe:probe', protocol: 'TCP', clusterIps: [service], externalIps: [], loadBalancerIps: [], port: 1, nodePort: 1,
    affinitySeconds: 0, internalLocal: false, externalLocal: true, endpoints, localEndpoints: endpoints,
  };
  return [port, { ...port, id: 'probe/sticky:probe', port: 2, nodePort: 2, affinitySeconds: 1 }, { ...port, id: 'probe/none:probe', port: 3, nodePort: 3, endpoints: [], localEndpoints: [] }];
}
