/** What an agent tells the others of its host's network, as JSON (agent/network/types.ts: HostFacts). */
export const networkAnnotation = 'cleat.dev/network';
/** Where the control plane sees the agent's connection come from: an address that is not the host's own is that of a NAT. */
export const seenAtAnnotation = 'cleat.dev/seen-at';
