import { NftablesBackend, type NftablesDeps } from './backends/nftables/backend.ts';
import type { ProxyBackend, ProxyConfig } from './types.ts';

/** Every proxy backend by name, in the order in which they are tried. */
export const proxyBackends: Readonly<Record<string, (deps: NftablesDeps, config: ProxyConfig) => ProxyBackend>> = {
  nftables: (deps, config) => new NftablesBackend(deps, config),
};
