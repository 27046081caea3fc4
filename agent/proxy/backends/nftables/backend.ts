import { messageOf, StatusError } from '#common/errors.ts';
import { familiesOf, type Family } from '../../families.ts';
import { StaleFlows } from '../../stale-flows.ts';
import type { ProxyBackend, ProxyBackendDeps, ProxyChange, ProxyConfig, ServicePort } from '../../types.ts';
import { parseAffinity } from './affinity.ts';
import { describePort, presenceCheck } from './rules.ts';
import { TableRules } from './table-rules.ts';

const transactionTimeoutMs = 60_000;

/** Routes Services with nftables: one table per address family, changed by one `nft -f -` each time. */
export class NftablesBackend implements ProxyBackend {
  readonly name = 'nftables';
  readonly #deps: ProxyBackendDeps;
  readonly #config: ProxyConfig;
  readonly #tables: ReadonlyMap<Family, TableRules>;
  readonly #flows: StaleFlows;

  constructor(deps: ProxyBackendDeps, config: ProxyConfig) {
    this.#deps = deps;
    this.#config = config;
    this.#tables = new Map(familiesOf(config).map((family) => [family, new TableRules(family, config)]));
    this.#flows = new StaleFlows(deps, [...this.#tables.keys()]);
  }

  async unusable(signal: AbortSignal): Promise<string | undefined> {
    // The kernel checks this text in full and drops it: the feature test is the real thing under another name.
    const probe = { ...this.#config, tableName: `${this.#config.tableName}-probe` };
    const text = [...this.#tables.keys()].map((family) => probeRules(family, probe)).join('');
    let result;
    try {
      result = await this.#nft(text, signal, '-c');
    } catch (error) {
      signal.throwIfAborted();
      return `nft cannot be run (${messageOf(error)}); install the nftables package (Debian: apt-get install nftables)`;
    }
    if (result.exitCode === 0) return undefined;
    const words = result.stderr.trim().split('\n')[0] ?? '';
    if (/not permitted|denied/i.test(words)) return `nft may not change rules (${words}); run as root or with CAP_NET_ADMIN`;
    return `this kernel or nft lacks a feature that Service routing needs (${words}); needed are nft 1.0 and Linux 5.10 with nf_tables NAT, fib, numgen and reject (CONFIG_NFT_NAT, CONFIG_NFT_FIB_IPV4, CONFIG_NFT_NUMGEN, CONFIG_NFT_REJECT)`;
  }

  async replace(all: readonly ServicePort[], signal: AbortSignal): Promise<void> {
    let text = '';
    for (const family of this.#tables.keys()) await this.#deps.record('nftables-table', `${family} ${this.#config.tableName}`);
    for (const [family, table] of this.#tables) text += table.replace(all, await this.#affinity(family, all, signal));
    await this.#run(text, signal);
    await this.#flows.replaced(all, signal);
  }

  async apply(change: ProxyChange, signal: AbortSignal): Promise<void> {
    const text = [...this.#tables.values()].map((table) => table.apply(change)).join('');
    if (text !== '') await this.#run(text, signal);
    await this.#flows.changed(change, signal);
  }

  async intact(signal: AbortSignal): Promise<boolean> {
    const input = [...this.#tables.keys()].map((family) => presenceCheck(family, this.#config)).join('');
    const { exitCode, stderr } = await this.#nft(input, signal, '-c');
    if (exitCode === 0 || isAbsent(stderr)) return exitCode === 0;
    throw new StatusError('InternalError', `nft cannot tell whether the Service rules are there: ${stderr.trim().slice(0, 1000)}`);
  }

  async cleanup(signal: AbortSignal): Promise<void> {
    // Both families, whatever is configured now: an earlier life may have used the other one.
    for (const family of ['ip', 'ip6'] as const) {
      const { exitCode, stderr } = await this.#nft(`delete table ${family} ${this.#config.tableName}\n`, signal);
      if (exitCode !== 0 && !isAbsent(stderr)) throw new StatusError('InternalError', `nft cannot remove the Service rules: ${stderr.trim().slice(0, 1000)}`);
    }
  }

  async #affinity(family: Family, all: readonly ServicePort[], signal: AbortSignal): Promise<ReadonlyMap<string, readonly string[]>> {
    const limits = new Map<string, number>();
    for (const port of all) {
      if (port.affinitySeconds > 0) for (const set of describePort(port, family).sets.keys()) limits.set(set, port.affinitySeconds);
    }
    if (limits.size === 0) return new Map();
    const { stdout } = await this.#deps.exec('nft', ['list', 'sets', family], { signal, maxBytes: 32 << 20 });
    return parseAffinity(stdout, this.#config.tableName, (set) => limits.get(set));
  }

  async #run(text: string, signal: AbortSignal): Promise<void> {
    const { exitCode, stderr } = await this.#nft(text, signal);
    if (exitCode !== 0) throw new StatusError('InternalError', `nft refused the Service rules: ${stderr.trim().slice(0, 1000)}`);
  }

  #nft(input: string, signal: AbortSignal, ...options: readonly string[]): ReturnType<ProxyBackendDeps['exec']> {
    return this.#deps.exec('nft', [...options, '-f', '-'], { input, signal, timeoutMs: transactionTimeoutMs });
  }
}

function isAbsent(stderr: string): boolean {
  return stderr.includes('No such file or directory');
}

/** A table that uses every feature the rules may use. */
function probeRules(family: Family, config: ProxyConfig): string {
  const [service, one, two] = family === 'ip' ? ['192.0.2.1', '192.0.2.2', '192.0.2.3'] : ['2001:db8::1', '2001:db8::2', '2001:db8::3'];
  const endpoints = [{ ip: one, port: 1, local: true }, { ip: two, port: 1, local: false }];
  const table = new TableRules(family, config);
  const port: ServicePort = {
    id: 'probe/probe:probe', protocol: 'TCP', clusterIps: [service], externalIps: [], loadBalancerIps: [], port: 1, nodePort: 1,
    affinitySeconds: 0, internalLocal: false, externalLocal: true, endpoints, localEndpoints: endpoints,
  };
  return table.replace([port, { ...port, id: 'probe/sticky:probe', port: 2, nodePort: 2, affinitySeconds: 1 }]);
}
