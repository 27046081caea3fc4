import type { CgroupUsage, ContainerDetails, HostCgroup, PodNetworkUsage, UsageParts } from '#common/container-details.ts';
import type { DiskUsage } from '#common/disk-usage.ts';
import type { Hardware } from '#common/hardware.ts';
import type { HostTask } from '#common/host-task.ts';
import type { Channels } from '#common/streams/channels.ts';
import type { CommandStreams } from '#common/streams/relay.ts';
import type { CrossVersionObjectReference, ObjectMeta, Scale } from '#api/gen/types.ts';
import type { KubeList, KubeObject } from '#api/meta/object.ts';
import type { Resource } from '#api/kinds/resources.ts';

/** Who makes a request. In-process components use `system:` names, as Kubernetes' own do. */
export interface User {
  readonly name: string;
  readonly groups: readonly string[];
  readonly uid?: string;
  /** More of what the authenticator knows, e.g. `authentication.kubernetes.io/pod-name`. */
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

export interface DeleteRequest {
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
}

/** The patch types of https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply that are served. */
export type PatchType = 'json' | 'merge' | 'strategic';

/**
 * The API without HTTP: what controllers, the scheduler and the dispatcher write through. It passes the same
 * admission, defaulting and validation as a request from outside. Objects returned are frozen; objects given
 * are not changed. Every method rejects with a StatusError, as the HTTP API would answer.
 */
export interface ApiClient {
  get<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): Promise<T>;
  list<T extends KubeObject>(resource: Resource<T>, namespace?: string, options?: { labelSelector?: string; fieldSelector?: string }): Promise<KubeList<T>>;
  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T>;
  /**
   * Compare-and-swap when `metadata.resourceVersion` is set. An update that changes nothing writes nothing.
   * `finalize` is for namespaces: it alone changes `spec.finalizers`. `approval` is for certificate signing requests.
   */
  update<T extends KubeObject>(resource: Resource<T>, object: T, subresource?: 'status' | 'finalize' | 'approval'): Promise<T>;
  patch<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string, type: PatchType, patch: unknown, subresource?: 'status'): Promise<T>;
  delete<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string, options?: DeleteRequest): Promise<void>;
  /** The pod's `binding` subresource: sets spec.nodeName once and the PodScheduled condition. */
  bind(namespace: string, podName: string, podUid: string, nodeName: string): Promise<void>;
}

/** The `scale` subresource of whatever kind `target` is; rejects with NotFound when that kind has none. */
export interface ScaleClient {
  get(target: CrossVersionObjectReference, namespace: string): Promise<Scale>;
  /** Compare-and-swap on the resourceVersion that `scale` carries. */
  update(target: CrossVersionObjectReference, scale: Scale): Promise<void>;
}

/** Who an event is about and what happened; repeats are counted, not repeated. */
export interface EventRecorder {
  /** `times` where it happened before now, or more than once. */
  event(about: EventSubject, type: 'Normal' | 'Warning', reason: string, message: string, times?: EventTimes): void;
}

export interface EventTimes {
  readonly count: number;
  /** When it happened first of these times, and last. */
  readonly firstMs: number;
  readonly lastMs: number;
}

export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata?: ObjectMeta | undefined;
  /** The part of the object, e.g. `spec.containers{web}`. */
  readonly fieldPath?: string;
  /** The node that reports it, where the recorder speaks for many. */
  readonly host?: string;
}

export interface LogRequest {
  readonly namespace: string;
  readonly podName: string;
  readonly podUid: string;
  readonly container: string;
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number;
  readonly sinceSeconds?: number;
  /** RFC 3339. */
  readonly sinceTime?: string;
  readonly limitBytes?: number;
}

export interface Usage {
  /** Cores in thousandths, averaged over `windowMs`. */
  readonly cpuMillis: number;
  /** Working set. */
  readonly memoryBytes: number;
  /** CPU time used in all; absent from agents that are older than this. */
  readonly cpuSeconds?: number;
}

export interface ContainerUsage extends Usage {
  readonly name: string;
  readonly id?: string;
  readonly image?: string;
  readonly startedAtMs?: number;
  /** Of what it wrote beside its volumes. */
  readonly writableBytes?: number;
  readonly writableInodes?: number;
  /** Absent from agents that are older than this. */
  readonly details?: ContainerDetails;
  /** Path of its cgroup; absent where nobody asked. */
  readonly cgroup?: string;
  readonly logs?: DiskUsage;
}

export interface PodUsage {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Absent from agents that are older than this. */
  readonly startedAtMs?: number;
  /** Absent for pods in their host's network. */
  readonly network?: PodNetworkUsage;
  /** Absent where nobody asked, and from agents that are older than this; so below. */
  readonly cgroup?: CgroupUsage;
  readonly containers: readonly ContainerUsage[];
  /** Absent where nobody asked, and from agents that are older than this. */
  readonly volumes?: readonly VolumeUsage[];
  /** All that it keeps on its host's disk for as long as it lives; absent like `volumes`. */
  readonly ephemeral?: DiskUsage;
}

/** Bytes and inodes of a file system, as far as they are known. */
export interface VolumeAmounts {
  readonly availableBytes?: number;
  readonly capacityBytes?: number;
  readonly usedBytes?: number;
  readonly inodesFree?: number;
  readonly inodes?: number;
  readonly inodesUsed?: number;
  /** What a CSI driver says of the volume's health, if it does. */
  readonly abnormal?: boolean;
}

export interface VolumeUsage extends VolumeAmounts {
  readonly name: string;
  /** Name of the claim that it is of. */
  readonly claim?: string;
}

export interface NodeUsage {
  /** When it was measured, epoch milliseconds, and over how long. */
  readonly atMs: number;
  readonly windowMs: number;
  /** `hardware` is absent from agents that are older than this. */
  readonly node: Usage & { readonly hardware?: Hardware; readonly pids?: { readonly limit: number; readonly used: number }; readonly disk?: VolumeAmounts; readonly imageDisk?: VolumeAmounts };
  readonly pods: readonly PodUsage[];
  readonly host?: HostCgroup;
  readonly allPods?: CgroupUsage;
}

/** What a client wants to be connected to. */
export type StreamRequest =
  | { readonly kind: 'exec'; readonly podUid: string; readonly container: string; readonly command: readonly string[] } & CommandStreams
  | { readonly kind: 'attach'; readonly podUid: string; readonly container: string } & CommandStreams
  /** A port of the pod, from within its network. */
  | { readonly kind: 'port-forward'; readonly podUid: string; readonly port: number }
  /** An address that the node reaches. */
  | { readonly kind: 'dial'; readonly host: string; readonly port: number }
  /** Work on the node's host itself: HOST of the edge contract. */
  | { readonly kind: 'host' } & HostTask
  /** The node's images; answered like a command with its streams. */
  | { readonly kind: 'images'; readonly verb: 'list' | 'load' | 'push' | 'save' | 'prune'; readonly image: string; readonly dryRun: boolean; readonly loaded: boolean } & CommandStreams;

/** What the API asks of a node while a client waits; the dispatcher answers through the agent's own connection. */
export interface NodeGateway {
  /** Chunks of log text. Rejects with `ServiceUnavailable` when the node is not connected. Ends when the signal aborts. */
  logs(nodeName: string, request: LogRequest, signal: AbortSignal): AsyncIterable<Uint8Array>;
  usage(nodeName: string, signal: AbortSignal, parts?: UsageParts): Promise<NodeUsage>;
  /** How the node reaches each other one; with `check`, what of packets of full size arrives there. As the agent tells it. Absent where no agents are real. */
  network?(nodeName: string, check: boolean, signal: AbortSignal): Promise<unknown>;
  /** What the node's agent tells of itself as a kubelet does. Rejects with `MethodNotAllowed` where it is too old to. Absent where no agents are real. */
  kubelet?(nodeName: string, about: 'metrics' | 'probes' | 'configz', signal: AbortSignal): Promise<unknown>;
  /**
   * Connects to a command, a program or a port on the node; resolves when it stands. Rejects with the node's reason,
   * or `ServiceUnavailable` when the node is not connected. Ends when closed and when the signal aborts.
   */
  open(nodeName: string, request: StreamRequest, channels: readonly number[], signal: AbortSignal): Promise<Channels>;
}
