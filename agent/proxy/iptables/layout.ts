export type Table = 'nat' | 'filter' | 'mangle';
/** What the tables must hold of ours. */
export type Tables = Readonly<Partial<Record<Table, Chains>>>;

/** The same of a proxy backend. */
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
  /** Absent for those of a proxy backend. */
  readonly jumps?: readonly Jump[];
}

/** Where the kernel has to be led to our chains. */
export type Jump = readonly [table: Table, builtin: string, condition: string, chain: string];

const proxyJumps: readonly Jump[] = [
  ['nat', 'PREROUTING', '', 'PORTALS'], ['nat', 'OUTPUT', '', 'PORTALS'], ['nat', 'POSTROUTING', '', 'POSTROUTING'],
  ...['INPUT', 'FORWARD', 'OUTPUT'].map((chain): Jump => ['filter', chain, '-m conntrack --ctstate NEW ', 'REFUSALS']),
];

export function jumpsOf({ jumps = proxyJumps }: Pick<ChainLayout, 'jumps'>): readonly Jump[] {
  return jumps;
}

export function tablesOf(layout: Pick<ChainLayout, 'jumps'>): Table[] {
  return [...new Set(jumpsOf(layout).map(([table]) => table))];
}

/** One bit, the same as the nftables backend's. */
export const mark = '0x1000/0x1000';
export const masquerade = '-j MASQUERADE --random-fully';
