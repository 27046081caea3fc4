import type { Pod } from '#api/gen/types.ts';
import { networkPolicies } from '#api/kinds/resources.ts';
import { exec } from '#common/exec.ts';
import type { Runnable } from '#common/lifecycle.ts';
import { isAbort } from '#common/lifecycle.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { Ledger } from '#agent/node/ledger.ts';
import type { PolicyEnforcer, PolicyEnforcerConfig, PolicyEnforcerDeps } from './enforcer.ts';

export type NetworkPoliciesDeps = Omit<PolicyEnforcerDeps, 'backend' | 'leftOver'> & { readonly ledger: Ledger };

const table = 'cleat-policy';
const prefix = 'CLEATNP';

/** The enforcer, loaded with the first policy that this host is told of, or when an earlier life left rules. */
export class NetworkPolicies implements Runnable {
  readonly #deps: NetworkPoliciesDeps;
  readonly #config: Pick<PolicyEnforcerConfig, 'nodeName'>;
  readonly #enforcer = Promise.withResolvers<PolicyEnforcer>();

  constructor(deps: NetworkPoliciesDeps, config: Pick<PolicyEnforcerConfig, 'nodeName'>) {
    this.#deps = deps;
    this.#config = config;
    this.#enforcer.promise.catch(() => undefined);
  }

  async start(signal: AbortSignal): Promise<void> {
    const { state, ledger, ...deps } = this.#deps;
    const had = { nftables: ledger.records.some(({ kind, target }) => kind === 'nftables-table' && target === `inet ${table}`), iptables: ledger.records.some(({ kind }) => kind === 'policy-chains') };
    const leftOver = had.nftables || had.iptables;
    const wakeup = new Wakeup();
    const stop = state.subscribe(() => { wakeup.notify(); });
    try {
      while (!leftOver && state.list(networkPolicies).length === 0) await wakeup.wait(signal);
      stop();
      const [{ PolicyEnforcer: Loaded, policyEnforcerDefaults }, { NftablesPolicies }, { IptablesPolicies }, { UsablePolicies }] = await Promise.all([import('./enforcer.ts'), import('./nftables.ts'), import('./iptables.ts'), import('./choose.ts')]);
      const nftables = new NftablesPolicies({ exec, record: (target) => ledger.record({ kind: 'nftables-table', target, before: null, after: null }) }, { table });
      const iptables = new IptablesPolicies({ exec, record: (target) => ledger.record({ kind: 'policy-chains', target, before: null, after: null }) }, { prefix });
      const backend = new UsablePolicies([nftables, iptables], [...(had.nftables ? [nftables] : []), ...(had.iptables ? [iptables] : [])]);
      const enforcer = new Loaded({ ...deps, state, backend, leftOver }, { ...policyEnforcerDefaults, ...this.#config });
      this.#enforcer.resolve(enforcer);
      await enforcer.start(signal);
    } catch (error) {
      this.#enforcer.reject(error);
      if (!isAbort(error, signal)) throw error;
    } finally {
      stop();
    }
  }

  /** See PolicyEnforcer. */
  async protect(pod: Pod, ips: readonly string[], signal: AbortSignal): Promise<void> {
    if (this.#deps.state.list(networkPolicies).length === 0) return;
    await (await this.#enforcer.promise).protect(pod, ips, signal);
  }
}
