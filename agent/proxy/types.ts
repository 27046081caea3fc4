import type { Exec } from '#common/exec.ts';
import type { Log } from '#common/log.ts';

/** One port of one Service with the endpoints that should get its traffic now. */
export interface ServicePort {
  /** `namespace/name:port`; unique. */
  readonly id: string;
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly clusterIps: readonly string[];
  readonly externalIps: readonly string[];
  readonly loadBalancerIps: readonly string[];
  /** Who may use `loadBalancerIps`, as ranges; empty or absent for everybody. Others get no answer. */
  readonly sourceRanges?: readonly string[];
  readonly port: number;
  /** 0 for none. */
  readonly nodePort: number;
  /** `nodePort` is a pod's host port: on every address of the host, whatever `nodePortAddresses` says. */
  readonly hostPort?: boolean;
  /** 0 for no affinity. */
  readonly affinitySeconds: number;
  readonly internalLocal: boolean;
  readonly externalLocal: boolean;
  /** Ready endpoints, sorted by address; all of one port. Empty means refuse at once, not hang. */
  readonly endpoints: readonly Backend[];
  /** What traffic under a `Local` policy gets: endpoints of this host, ready or, when none is, still serving while they end. Empty when no policy is `Local`. */
  readonly localEndpoints: readonly Backend[];
}

export interface Backend {
  readonly ip: string;
  readonly port: number;
  /** True for a pod of this host. */
  readonly local: boolean;
}

export interface ProxyConfig {
  /** Names the table or chains, so that several agents on one host never collide; `cleat` by default. */
  readonly tableName: string;
  readonly podCidrs: readonly string[];
  readonly serviceCidrs: readonly string[];
  /** Ranges of the host's addresses that node ports are on; empty or absent for all but loopback. */
  readonly nodePortAddresses?: readonly string[];
  /** For ipvs: which of the kernel's schedulers picks an endpoint; `rr` when absent. */
  readonly ipvsScheduler?: IpvsScheduler;
}

export const ipvsSchedulers = ['rr', 'wrr', 'lc', 'sh'] as const;
export type IpvsScheduler = (typeof ipvsSchedulers)[number];

/** Set and removed service ports, by id. Order does not matter. */
export interface ProxyChange {
  readonly set: readonly ServicePort[];
  readonly removed: readonly string[];
}

/** What every backend works with. */
export interface ProxyBackendDeps {
  readonly exec: Exec;
  readonly log: Log;
  /** Notes for uninstalling what is ours, before it is first made: an nftables table (`FAMILY NAME`), chains of one prefix (`COMMAND PREFIX`), virtual servers (`NAME SERVICE-CIDR,...`), or a sysctl with what it was and becomes. */
  readonly record: (kind: 'nftables-table' | 'iptables-chains' | 'ipvs-services' | 'sysctl', target: string, values?: { readonly before: string; readonly after: string }) => Promise<void>;
  /** Puts sysctls back that were recorded, but for those that somebody else has changed since. */
  readonly restore?: (sysctls: readonly string[], signal: AbortSignal) => Promise<void>;
}

/** Makes the kernel route Services. Touches only what it made itself. */
export interface ProxyBackend {
  readonly name: string;
  /** Why this host cannot use the backend, with the remedy; undefined when it can. */
  unusable(signal: AbortSignal): Promise<string | undefined>;
  /** Why this host cannot route SCTP, where one such port would keep all others from being routed; undefined when it can. */
  lacksSctp?(signal: AbortSignal): Promise<string | undefined>;
  /** Replaces everything atomically: traffic sees the old or the new state, never a mixture. */
  replace(all: readonly ServicePort[], signal: AbortSignal): Promise<void>;
  /** Applies a change atomically, at a cost of O(change). Rejects when the kernel's state is not what was left there; then `replace`. */
  apply(change: ProxyChange, signal: AbortSignal): Promise<void>;
  /** A cheap look: false when another program removed what was last applied (`nft flush ruleset`, say). */
  intact(signal: AbortSignal): Promise<boolean>;
  /** Removes all of it. Idempotent; also cleans what a crashed earlier run left. */
  cleanup(signal: AbortSignal): Promise<void>;
}
