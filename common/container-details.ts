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
  /** What it may have beside that, and what it read from and wrote to disks; only where somebody asked for cgroups. */
  readonly more?: CgroupMore;
}

export interface CgroupMore {
  /** In the words of cgroups' version 1: 1024 for one core. */
  readonly cpuShares?: number;
  /** 0 for no limit, here and below. */
  readonly memorySwapLimitBytes?: number;
  readonly memoryReservationBytes?: number;
  readonly processLimit?: number;
  readonly disks?: readonly DiskTraffic[];
}

/** `device`: its path below /dev. */
export interface DiskTraffic { readonly device: string; readonly readBytes: number; readonly writtenBytes: number; readonly reads: number; readonly writes: number }

/** What a network interface has carried since it was made. */
export interface NetworkCounters {
  readonly receivedBytes: number;
  readonly receivedPackets: number;
  readonly receiveErrors: number;
  readonly sentBytes: number;
  readonly sentPackets: number;
  readonly sendErrors: number;
}

export interface InterfaceUsage extends NetworkCounters { readonly name: string; readonly receiveDropped: number; readonly sendDropped: number }

/** Of a pod's own network: all of its interfaces but the loopback together. `interfaces` is absent from agents that are older than this. */
export interface PodNetworkUsage extends NetworkCounters { readonly interfaces?: readonly InterfaceUsage[] }

/** A cgroup that is no container's: that of a pod, of all pods, or of the host. */
export interface CgroupUsage {
  /** As the kernel has it, below the root of its hierarchy. */
  readonly path: string;
  readonly cpuSeconds?: number;
  /** Working set. */
  readonly memoryBytes?: number;
  readonly startedAtMs?: number;
  readonly details: ContainerDetails;
}

/** A file system, and the device that it is on. */
export interface FileSystemUsage { readonly device: string; readonly capacityBytes: number; readonly usedBytes: number; readonly inodes: number; readonly inodesFree: number }

/** The host as a whole, of which all else is a part. `startedAtMs` is when it was booted. */
export interface HostCgroup extends CgroupUsage {
  readonly interfaces: readonly InterfaceUsage[];
  readonly fileSystems: readonly FileSystemUsage[];
}

/** What is asked for beside containers' CPU and memory, because it costs more. */
export interface UsageParts {
  /** What volumes and the host's disk hold. */
  readonly volumes?: boolean;
  /** Cgroups of pods and of the host, and all that is counted of any cgroup. */
  readonly cgroups?: boolean;
}
