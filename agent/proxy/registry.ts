import type { ProxyBackend, ProxyBackendDeps, ProxyConfig } from './types.ts';

/**
 * Every proxy backend by name, in the order in which `auto` tries them; loaded when it is wanted, for a host uses one. ipvs is
 * last: it needs iptables and more of the kernel besides, cannot change everything at once, and makes Services' addresses
 * the host's own. Whoever has thousands of Services and no nftables chooses it by name.
 */
export const proxyBackends: Readonly<Record<string, (deps: ProxyBackendDeps, config: ProxyConfig) => Promise<ProxyBackend>>> = {
  nftables: async (deps, config) => new (await import('./backends/nftables/backend.ts')).NftablesBackend(deps, config),
  iptables: async (deps, config) => new (await import('./backends/iptables/backend.ts')).IptablesBackend(deps, config),
  ipvs: async (deps, config) => new (await import('./backends/ipvs/backend.ts')).IpvsBackend(deps, config),
};
