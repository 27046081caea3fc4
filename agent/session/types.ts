import type { CgroupUsage, ContainerDetails, HostCgroup, PodNetworkUsage, UsageParts } from '#common/container-details.ts';
import type { DiskUsage } from '#common/disk-usage.ts';
import type { Hardware } from '#common/hardware.ts';
import type { CSINodeDriver, NodeStatus, Pod, PodStatus } from '#api/gen/types.ts';
import type { HostTask } from '#common/host-task.ts';
import type { Channels } from '#common/streams/channels.ts';
import type { CommandStreams } from '#common/streams/relay.ts';

/** What the agent says of one pod that it holds. */
export interface PodReport {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly status: PodStatus;
  /** True when nothing of the pod is left on this host and it was to be deleted: the API object may go. */
  readonly gone: boolean;
  /** Of a pod that this host runs by itself and that the API does not show yet: what to show. */
  readonly mirror?: Pod;
}

/** The pods' side: current reports, kept until the control plane no longer lists the pod. */
export interface PodReports {
  all(): readonly PodReport[];
  /** Called with each report that differs from the one before. Synchronous. */
  subscribe(listener: (report: PodReport) => void): () => void;
}

/** When the control plane last knew that this host lives, by a clock that counts the time that the host slept too. */
export interface Contact {
  /** Undefined: never since the host was booted. */
  silentMs(): number | undefined;
  /** Called with every contact. */
  subscribe(listener: () => void): () => void;
  /** Asks for heartbeats that are at most so far apart, from now on; Infinity when it does not matter. */
  need(periodMs: number): void;
}

/** How the pods' side carries out a fence. */
export interface Fencing {
  /** Kills every pod of this host, while `forget` takes them out of the desired state; resolves when nothing runs any more. */
  fence(forget: () => Promise<void>, signal: AbortSignal): Promise<void>;
}

/** The node's side: labels are set once, status whenever it changes beyond noise. */
export interface NodeReport {
  readonly labels: Readonly<Record<string, string>>;
  /** CSI drivers of the host, for its CSINode; absent where there never were any. */
  readonly csi?: { readonly drivers: readonly CSINodeDriver[]; readonly gone: readonly string[]; readonly expansions?: readonly VolumeExpansion[] };
  /** What other hosts need to know of this one; of the keys only those that the dispatcher knows are taken over. */
  readonly annotations?: Readonly<Record<string, string>>;
  readonly status: NodeStatus;
}

/** How it went when a PersistentVolume that had been made larger was to be seen so on this host. */
export interface VolumeExpansion {
  readonly volume: string;
  /** What it was to grow to, and has unless there is an error. */
  readonly capacity: string;
  readonly error?: string;
  /** Another try would end in the same way. */
  readonly infeasible?: true;
}

export interface NodeReports {
  current(): NodeReport;
  subscribe(listener: (report: NodeReport) => void): () => void;
}

/** An Event about a pod or the node; the control plane stores and counts it. */
export interface AgentEvent {
  readonly kind: 'Pod' | 'Node';
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly fieldPath?: string;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  /** By this host's clock, which may be wrong: the control plane goes by how long ago it was. */
  readonly atMs: number;
}

/** Where pods and node put Events; while the control plane is away repeats are counted, and of too many the oldest go. */
export interface AgentEvents {
  emit(event: AgentEvent): void;
}

/** A token of the service account that a pod runs as, for a projected volume. */
export interface PodTokenRequest {
  readonly namespace: string;
  readonly podName: string;
  readonly podUid: string;
  /** Empty for the API. */
  readonly audience: string;
  readonly expirationSeconds: number;
}

/** Where pods get tokens from; rejects with `ServiceUnavailable` while the control plane is away. */
export interface PodTokens {
  token(request: PodTokenRequest): Promise<string>;
}

/** Answers what the control plane asks through a tunnel. Implemented by the pods' side. */
export interface TunnelHandlers {
  /** The request is the LogRequest of the edge contract as JSON; yields chunks of log text, ends at the end or on abort. */
  logs(request: LogQuery, signal: AbortSignal): AsyncIterable<Uint8Array>;
  usage(signal: AbortSignal, parts?: UsageParts): Promise<UsageReport>;
  /** Removes the directory of a local volume, if it is there. */
  removeVolume?(name: string): Promise<void>;
  /** How other hosts are reached, or (`check`) what of packets of full size arrives there; as JSON can hold it. */
  network?(check: boolean, signal: AbortSignal): Promise<unknown>;
  /** What this agent tells of itself as a kubelet does: KUBELET of the edge contract; as JSON can hold it. */
  kubelet?(about: string, signal: AbortSignal): Promise<object>;
  /** Resolves when what is asked for stands: the command runs, the connection is made. Absent where pods are not real. */
  open?(request: StreamRequest, signal: AbortSignal): Promise<Channels>;
}

/** What a stream that goes both ways is to: the request of the edge contract's EXEC, ATTACH, PORT_FORWARD and DIAL. */
export type StreamRequest =
  | { readonly kind: 'exec'; readonly podUid: string; readonly container: string; readonly command: readonly string[] } & CommandStreams
  | { readonly kind: 'attach'; readonly podUid: string; readonly container: string } & CommandStreams
  | { readonly kind: 'port-forward'; readonly podUid: string; readonly port: number }
  /** A connection from the host itself. */
  | { readonly kind: 'dial'; readonly host: string; readonly port: number }
  | { readonly kind: 'host' } & HostTask
  | ImageRequest;

/** What is asked of this host's images; answered like a command with its streams. */
export type ImageRequest = { readonly kind: 'images' } & CommandStreams & (
  | { readonly verb: 'list' }
  | { readonly verb: 'load' }
  /** To take part in a push to several nodes: PushCommands and their answers. */
  | { readonly verb: 'push' }
  /** A docker archive of one. */
  | { readonly verb: 'save'; readonly image: string }
  /** `loaded`: those that somebody loaded, too. */
  | { readonly verb: 'prune'; readonly dryRun: boolean; readonly loaded: boolean }
);

export interface LogQuery {
  readonly namespace: string;
  readonly podName: string;
  readonly podUid: string;
  readonly container: string;
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number;
  readonly sinceSeconds?: number;
  readonly sinceTime?: string;
  readonly limitBytes?: number;
}

export interface ResourceUsage {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  /** CPU time used in all, since the container or the host was started. */
  readonly cpuSeconds: number;
}

/** Bytes and inodes of a volume, as far as they are known. */
export interface VolumeAmounts {
  readonly availableBytes?: number;
  readonly capacityBytes?: number;
  readonly usedBytes?: number;
  readonly inodesFree?: number;
  readonly inodes?: number;
  readonly inodesUsed?: number;
  /** Something is wrong with the volume, as its driver says. */
  readonly abnormal?: boolean;
}

/** One volume of a pod. */
export interface VolumeUsage extends VolumeAmounts {
  readonly name: string;
  /** Name of the claim that it is of. */
  readonly claim?: string;
}

/** The host itself, and what it tells of its body. */
export interface HostUsage extends ResourceUsage {
  /** The file system that pods' files are on. */
  readonly disk?: VolumeAmounts;
  /** The one that images and what containers write are on; used by images, those that share layers counted in full. */
  readonly imageDisk?: VolumeAmounts;
  readonly hardware?: Hardware;
  /** Processes and threads. */
  readonly pids?: { readonly limit: number; readonly used: number };
}

export interface ContainerUsage extends ResourceUsage {
  readonly name: string;
  readonly id: string;
  readonly image: string;
  readonly startedAtMs: number;
  /** Of what it wrote beside its volumes; absent where that is not counted, or nobody asked for volumes. */
  readonly writableBytes?: number;
  readonly writableInodes?: number;
  readonly details?: ContainerDetails;
  /** Path of its cgroup; only where somebody asked for cgroups. */
  readonly cgroup?: string;
  /** Of its logs; absent where nobody asked for volumes. */
  readonly logs?: DiskUsage;
}

export interface UsageReport {
  readonly atMs: number;
  readonly windowMs: number;
  readonly node: HostUsage;
  readonly pods: readonly PodUsageReport[];
  /** The host's, and that of all pods; only where somebody asked for cgroups. */
  readonly host?: HostCgroup;
  readonly allPods?: CgroupUsage;
}

export interface PodUsageReport {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** When its sandbox was made. */
  readonly startedAtMs: number;
  /** Absent for pods in the host's network. */
  readonly network?: PodNetworkUsage;
  readonly containers: readonly ContainerUsage[];
  readonly cgroup?: CgroupUsage;
  readonly volumes?: readonly VolumeUsage[];
  /** All that the pod keeps on the host's disk for as long as it lives. */
  readonly ephemeral?: DiskUsage;
}
