import { messageOf, StatusError } from '#common/errors.ts';
import { familiesOf, type Family } from '../../families.ts';
import { commandOf, layoutOf, OwnChains } from '../../iptables/own-chains.ts';
import { StaleFlows } from '../../stale-flows.ts';
import type { ProxyBackend, ProxyBackendDeps, ProxyChange, ProxyConfig, ServicePort } from '../../types.ts';
import { ruleset, unorderedChains, type RulesConfig } from './rules.ts';

/** Routes Services with iptables, whichever flavour (legacy or nft) the host's commands are of: chains of our own, changed by one `iptables-restore --noflush` a family. */
export class IptablesBackend implements ProxyBackend {
  readonly name = 'iptables';
  readonly #deps: ProxyBackendDeps;
  readonly #prefix: string;
  readonly #config: ProxyConfig;
  readonly #rules: RulesConfig;
  readonly #families: readonly Family[];
  readonly #chains: OwnChains;
  readonly #flows: StaleFlows;
  readonly #ports = new Map<string, ServicePort>();
  #applied = false;

  constructor(deps: ProxyBackendDeps, config: ProxyConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#prefix = config.tableName.toUpperCase();
    this.#rules = { ...config, ...layoutOf(this.#prefix, unorderedChains) };
    this.#families = familiesOf(config);
    this.#chains = new OwnChains(deps.exec, this.#prefix, this.#rules);
    this.#flows = new StaleFlows(deps, this.#families);
  }

  async unusable(signal: AbortSignal): Promise<string | undefined> {
    const layout = layoutOf(`${this.#prefix}-P`, unorderedChains);
    const probe = new OwnChains(this.#deps.exec, `${this.#prefix}-P`, layout);
    for (const family of this.#families) {
      let words;
      try {
        words = await probe.refusal(family, ruleset(probePorts(family), family, { ...this.#config, ...layout }), signal);
      } catch (error) {
        signal.throwIfAborted();
        return `${commandOf(family)} cannot be run (${messageOf(error)}); install the iptables package (Debian: apt-get install iptables)`;
      }
      if (words === undefined) continue;
      if (/not permitted|denied|you must be root/i.test(words)) return `${commandOf(family)} may not change rules (${words}); run as root or with CAP_NET_ADMIN`;
      return `this kernel or iptables lacks a match or target that Service routing needs (${words}); needed are addrtype, comment, conntrack, mark, recent, statistic, DNAT, MASQUERADE and REJECT`;
    }
    return undefined;
  }

  async lacksSctp(signal: AbortSignal): Promise<string | undefined> {
    const layout = layoutOf(`${this.#prefix}-P`, unorderedChains);
    for (const family of this.#families) {
      const ports = probePorts(family).map((port): ServicePort => ({ ...port, protocol: 'SCTP' }));
      const words = await new OwnChains(this.#deps.exec, `${this.#prefix}-P`, layout).refusal(family, ruleset(ports, family, { ...this.#config, ...layout }), signal);
      if (words !== undefined) return `this kernel or ${commandOf(family)} lacks the match sctp (${words}; module xt_sctp)`;
    }
    return undefined;
  }

  async replace(all: readonly ServicePort[], signal: AbortSignal): Promise<void> {
    this.#applied = false;
    for (const family of this.#families) {
      await this.#deps.record('iptables-chains', `${commandOf(family)} ${this.#prefix}`);
      await this.#chains.replace(family, () => ruleset(all, family, this.#rules), signal);
    }
    this.#applied = true;
    this.#ports.clear();
    for (const port of all) this.#ports.set(port.id, port);
    await this.#flows.replaced(all, signal);
  }

  async apply(change: ProxyChange, signal: AbortSignal): Promise<void> {
    if (!this.#applied) throw new StatusError('Conflict', 'nothing was applied yet; replace first');
    for (const id of change.removed) this.#ports.delete(id);
    for (const port of change.set) this.#ports.set(port.id, port);
    for (const family of this.#families) await this.#chains.change(family, ruleset([...this.#ports.values()], family, this.#rules), signal);
    await this.#flows.changed(change, signal);
  }

  async intact(signal: AbortSignal): Promise<boolean> {
    return this.#chains.intact(this.#families, signal);
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    await this.#chains.cleanup(signal);
  }
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
