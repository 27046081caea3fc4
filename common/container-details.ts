/** What the kernel counts of a container beside CPU time and working set. What it does not count is absent. */
export interface ContainerDetails {
  /** Limit absent where there is none. */
  readonly memory?: {
    readonly usageBytes: number; readonly rssBytes: number; readonly cacheBytes: number; readonly mappedBytes: number; readonly swapBytes: number;
    readonly pageFaults: number; readonly majorPageFaults: number; readonly limitBytes?: number; readonly oomKills: number;
  };
  readonly cpu?: { readonly userSeconds: number; readonly systemSeconds: number };
  /** Only where CPU is limited: so much in each period. */
  readonly quota?: { readonly quotaMicros: number; readonly periodMicros: number; readonly periods: number; readonly throttledPeriods: number; readonly throttledSeconds: number };
  readonly processes?: number;
}
