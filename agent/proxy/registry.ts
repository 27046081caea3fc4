import { IptablesBackend } from './backends/iptables/backend.ts';
import { NftablesBackend } from './backends/nftables/backend.ts';
import type { ProxyBackend, ProxyBackendDeps, ProxyConfig } from './types.ts';

/** Every proxy backend by name, in the order in which they are tried. */
export const proxyBackends: Readonly<Record<string, (deps: ProxyBackendDeps, config: ProxyConfig) => ProxyBackend>> = {
  nftables: (deps, config) => new NftablesBackend(deps, config),
  iptables: (deps, config) => new IptablesBackend(deps, config),
};
