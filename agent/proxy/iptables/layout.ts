/** What the tables must hold of ours. */
export interface Ruleset {
  readonly nat: Chains;
  readonly filter: Chains;
}

/** Chain → rules, without `-A CHAIN`. Names are without the prefix that tells agents and backends apart. */
export type Chains = ReadonlyMap<string, readonly string[]>;

export interface ChainLayout {
  /** The full name of a chain, within the 28 letters that iptables takes. */
  readonly chain: (name: string) => string;
  /** Chains whose rules exclude each other, so that one can go and come without the rest being written again. */
  readonly unordered: ReadonlySet<string>;
}

/** Where the kernel has to be led to our chains: table, built-in chain, condition, chain. */
export const jumps = [
  ['nat', 'PREROUTING', '', 'PORTALS'], ['nat', 'OUTPUT', '', 'PORTALS'], ['nat', 'POSTROUTING', '', 'POSTROUTING'],
  ...(['INPUT', 'FORWARD', 'OUTPUT'] as const).map((chain) => ['filter', chain, '-m conntrack --ctstate NEW ', 'REFUSALS'] as const),
] as const;

/** One bit, the same as the nftables backend's. */
export const mark = '0x1000/0x1000';
export const masquerade = '-j MASQUERADE --random-fully';
