import type { CSIDriver, CSINode, CSIStorageCapacity, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodDisruptionBudget, StorageClass, Taint } from '#api/gen/types.ts';
import type { LabelRequirement } from '#api/meta/selectors.ts';
import type { Clock } from '#common/clock.ts';
import type { ApiClient } from '../apiserver/types.ts';
import type { Informer, Lister } from '../cache/types.ts';
import type { ImagePlatforms } from './image-platforms.ts';

/**
 * The scheduling framework: what a plugin sees and what it may do, in the shape of
 * https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/.
 *
 * One cycle is synchronous: PreFilter, Filter, PostFilter, PreScore, Score, Reserve, Permit. The binding that
 * follows (waiting for permission, PreBind, Bind, PostBind) is asynchronous and runs beside later cycles, which
 * see the pod as assumed.
 */

/** What a pod asks for, or a node has. CPU in thousandths of a core, the rest in bytes or counts. */
export interface Resources {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly ephemeralBytes: number;
  /** Everything else by name, such as `nvidia.com/gpu` or `hugepages-2Mi`. */
  readonly scalars: ReadonlyMap<string, number>;
}

export interface HostPort {
  readonly ip: string;
  readonly protocol: string;
  readonly port: number;
}

/** A (anti-)affinity term of a pod, ready to be matched. */
export interface AffinityTerm {
  readonly topologyKey: string;
  readonly selector: readonly LabelRequirement[];
  readonly namespaces: ReadonlySet<string>;
  /** Adds the namespaces whose labels match. */
  readonly namespaceSelector: readonly LabelRequirement[] | undefined;
  /** 1 to 100; 0 for a required term. */
  readonly weight: number;
}

export interface AffinityTerms {
  readonly required: readonly AffinityTerm[];
  readonly preferred: readonly AffinityTerm[];
}

/**
 * Pods that no selector and no affinity term can tell apart: same namespace, labels, owner and affinity.
 * Counting by class instead of by pod is what keeps spreading and affinity cheap on large clusters.
 */
export interface PodClass {
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  /** UID of the controlling owner; empty without one. */
  readonly ownerUid: string;
  /** Terminating pods still hold their node's resources, but do not count when spreading. */
  readonly terminating: boolean;
  readonly affinity: AffinityTerms;
  readonly antiAffinity: AffinityTerms;
  /** Pods of this class on each node that has some; always current. */
  readonly nodes: ReadonlyMap<NodeInfo, number>;
  /** Its pods in each domain of the topology; always current. */
  domains(topologyKey: string): DomainCounts;
}

/** Pods by value of a node label; nodes without it do not count. */
export interface DomainCounts {
  readonly byValue: ReadonlyMap<string, number>;
  readonly total: number;
}

/** A pod with what scheduling needs of it computed once. */
export interface PodInfo {
  readonly pod: Pod;
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly priority: number;
  readonly ownerUid: string;
  readonly requests: Resources;
  /** CPU and memory as scoring sees them: containers that ask for nothing count as 100m and 200 MB. */
  readonly scoredCpuMillis: number;
  readonly scoredMemoryBytes: number;
  readonly hostPorts: readonly HostPort[];
  /** Names of the claims that it mounts, those included that are made for it. */
  readonly claimNames: readonly string[];
  readonly affinity: AffinityTerms;
  readonly antiAffinity: AffinityTerms;
}

/** A node and the sum of what is on it, assumed pods included. */
export interface NodeInfo {
  readonly name: string;
  readonly node: Node;
  readonly labels: Readonly<Record<string, string>>;
  readonly unschedulable: boolean;
  /** Those that keep pods away: NoSchedule and NoExecute. */
  readonly hardTaints: readonly Taint[];
  /** Those that pods rather stay away from: PreferNoSchedule. */
  readonly softTaints: readonly Taint[];
  readonly allocatable: Resources;
  readonly allocatablePods: number;
  readonly requested: Resources;
  readonly scoredCpuMillis: number;
  readonly scoredMemoryBytes: number;
  /** By UID. */
  readonly pods: ReadonlyMap<string, PodInfo>;
  readonly hostPorts: readonly HostPort[];
  /** Size in bytes by every name that an image on the node is known under. */
  readonly images: ReadonlyMap<string, number>;
}

/**
 * The cluster as one cycle sees it. A cycle is synchronous, so the cache itself serves as its snapshot:
 * nothing is copied, and nothing here may be kept across an `await`.
 */
export interface Snapshot {
  readonly nodes: readonly NodeInfo[];
  /** Grows when nodes come, go, or change in labels, taints or being cordoned: what was worked out from those holds until then. */
  readonly nodesVersion: number;
  node(name: string): NodeInfo | undefined;
  /** Classes with at least one pod on a node, in one namespace. */
  classesIn(namespace: string): Iterable<PodClass>;
  classesOf(ownerUid: string): Iterable<PodClass>;
  classes(): Iterable<PodClass>;
  /** Classes that have affinity or anti-affinity terms of their own, required or preferred. */
  classesWithAffinity(): Iterable<PodClass>;
  /** Nodes that are cordoned. */
  readonly unschedulableNodes: number;
  /** Nodes with taints that keep pods away. */
  readonly taintedNodes: number;
  /** Nodes with taints that pods rather stay away from. */
  readonly softTaintedNodes: number;
  /** For which architectures images are made. */
  readonly images: Pick<ImagePlatforms, 'isEmpty' | 'isFor'>;
  /** Nodes that have the image under this name. */
  nodesWithImage(image: string): number;
  /** True when any node has the label. */
  hasLabelKey(key: string): boolean;
  /** Pods on nodes that mount the claim. */
  podsWithClaim(namespace: string, claimName: string): number;
  namespaceLabels(namespace: string): Readonly<Record<string, string>> | undefined;
}

/** Why a pod does not fit. */
export interface Rejection {
  /** In Kubernetes' words; users and tools read them in events. */
  readonly reasons: readonly string[];
  /** False when removing other pods from the node could not help. */
  readonly resolvable: boolean;
}

/** What changed in the cluster, as far as waiting pods may care. */
export type ClusterEventType =
  | 'node-added' | 'node-allocatable-changed' | 'node-labels-changed' | 'node-taints-changed'
  /** What its agent says about images. */
  | 'node-images-changed'
  | 'assigned-pod-added' | 'assigned-pod-updated' | 'assigned-pod-deleted'
  | 'claim-changed'
  /** A volume, a storage class or a storage capacity. */
  | 'volumes-changed'
  /** The volume drivers of a node, and how many volumes each takes there. */
  | 'csi-node-changed';

export interface ClusterEvent {
  readonly type: ClusterEventType;
  /** The node itself, or the one that the pod is on or was; absent when it is unknown. */
  readonly node?: NodeInfo | undefined;
  /** As it is now; as it was last when it was deleted. */
  readonly pod?: PodInfo | undefined;
  /** Before an update. */
  readonly oldPod?: PodInfo | undefined;
  readonly claim?: PersistentVolumeClaim | undefined;
}

/** A typed slot of a CycleState; each plugin makes its own. */
export interface StateKey<T> {
  readonly plugin: string;
  /** Never set; carries `T`. */
  readonly type?: T;
}

/** What plugins remember from one extension point to the next within one pod's cycle and its binding. */
export class CycleState {
  readonly #values = new Map<StateKey<unknown>, unknown>();

  get<T>(key: StateKey<T>): T | undefined {
    return this.#values.get(key) as T | undefined;
  }

  set<T>(key: StateKey<T>, value: T): void {
    this.#values.set(key, value);
  }
}

/** `skip`: the plugin's Filter has nothing to say about this pod. `nodes`: only these can fit. */
export type PreFilterResult = undefined | 'skip' | { readonly rejection: Rejection } | { readonly nodes: ReadonlySet<string> };

/** A pod that must go so that another fits. */
export interface Nomination {
  /** The node on which room is being made; the pod is tried there first when that is done. */
  readonly nodeName: string;
  readonly victims: readonly PodInfo[];
}

export interface PostFilterResult {
  /** `keep`: an earlier nomination stands. Absent: there is none (any more). */
  readonly nomination?: Nomination | 'keep';
  /** Appended to the pod's FailedScheduling message. */
  readonly message?: string;
}

/** A node on which pods are put and from which they are taken as if. */
export interface Trial {
  readonly node: NodeInfo;
  add(pod: PodInfo): void;
  remove(pod: PodInfo): void;
  /** Why the cycle's pod does not fit now; pods nominated to the node with at least its priority are counted. */
  check(): Rejection | undefined;
}

/** What the framework does for PostFilter plugins. */
export interface PostFilterHost {
  /** Nothing that `work` does outlasts it. */
  tryOn<T>(node: NodeInfo, work: (trial: Trial) => T): T;
  /** Where room was being made for the pod. */
  readonly nominatedNode: string | undefined;
  /** 0 to 1. */
  readonly random: () => number;
}

/** `waitMs`: the pod is bound when WaitingPods says so, and given up when that takes longer. */
export type PermitResult = undefined | { readonly rejection: Rejection } | { readonly waitMs: number };

/** What QueueSort compares. */
export interface Queued {
  readonly pod: PodInfo;
  /** When it last became ready, monotonic, and its place among those of the same moment. */
  readonly readyAtMs: number;
  readonly sequence: number;
}

/**
 * A plugin: a name and any of the extension points. All but PreBind and Bind are synchronous and must not
 * change what they are given, `state` excepted. A plugin never throws to refuse: it returns a Rejection.
 */
export interface Plugin {
  /** Kubernetes' name where there is one, such as `NodeResourcesFit`. */
  readonly name: string;
  /** Events after which a pod that this plugin refused may be worth another try. */
  readonly events: readonly ClusterEventType[];
  /** The queueing hint: false when such an event cannot help this pod. Absent: it always may. */
  helps?(pod: PodInfo, event: ClusterEvent): boolean;
  /** Multiplies Score, unless the profile says otherwise; 1 when absent. */
  readonly weight?: number;
  /** True when `a` is to be tried before `b`. Exactly one plugin has it. */
  queueSort?(a: Queued, b: Queued): boolean;
  /** A refusal keeps the pod out of the active queue; asked again when the pod changes. */
  preEnqueue?(pod: PodInfo): Rejection | undefined;
  preFilter?(pod: PodInfo, snapshot: Snapshot, state: CycleState): PreFilterResult;
  /** Brings what PreFilter counted to where it would be with `other` on the node, or without it. Must undo each other exactly. */
  addPod?(pod: PodInfo, other: PodInfo, node: NodeInfo, state: CycleState, snapshot: Snapshot): void;
  removePod?(pod: PodInfo, other: PodInfo, node: NodeInfo, state: CycleState, snapshot: Snapshot): void;
  filter?(pod: PodInfo, node: NodeInfo, state: CycleState): Rejection | undefined;
  /** Called when no node passed; the first plugin that nominates a node ends the round. */
  postFilter?(pod: PodInfo, rejections: ReadonlyMap<NodeInfo, Rejection>, snapshot: Snapshot, host: PostFilterHost): PostFilterResult | undefined;
  /** `skip`: Score would be the same for all nodes. */
  preScore?(pod: PodInfo, nodes: readonly NodeInfo[], snapshot: Snapshot, state: CycleState): 'skip' | undefined;
  /** Any number; after `normalize` it must be 0 to 100, higher is better. */
  score?(pod: PodInfo, node: NodeInfo, state: CycleState): number;
  /** Brings the scores, in the order of PreScore's nodes, to 0 to 100, in place. */
  normalize?(scores: Float64Array, nodes: readonly NodeInfo[], state: CycleState): void;
  /** Takes what the plugin keeps outside the cache. Undone by `unreserve`, which must be idempotent. */
  reserve?(pod: PodInfo, nodeName: string, state: CycleState): Rejection | undefined;
  unreserve?(pod: PodInfo, nodeName: string, state: CycleState): void;
  /** The last word before the binding: go, no, or wait until others say so. */
  permit?(pod: PodInfo, nodeName: string, state: CycleState): PermitResult;
  /** Prepares the node (volumes). A rejected promise puts the pod back into the queue. */
  preBind?(pod: PodInfo, nodeName: string, state: CycleState, signal: AbortSignal): Promise<void>;
  /** Resolves with false when it leaves this pod to the next plugin with Bind. */
  bind?(pod: PodInfo, nodeName: string, signal: AbortSignal): Promise<boolean>;
  /** The pod is bound. */
  postBind?(pod: PodInfo, nodeName: string, state: CycleState): void;
}

/** What there is to mount. */
export interface Storage {
  readonly claims: Informer<PersistentVolumeClaim>;
  readonly volumes: Informer<PersistentVolume>;
  readonly classes: Lister<StorageClass>;
  /** Absent where no drivers are, as in some tests. */
  readonly csi?: {
    readonly nodes: Lister<CSINode>;
    readonly drivers: Lister<CSIDriver>;
    readonly capacities: Lister<CSIStorageCapacity>;
  } | undefined;
}

/** Volumes that pods on their way to a node have chosen, with the pod's uid; shared by all profiles. */
export type AssumedVolumes = Map<string, string>;

/** What a plugin that needs more than its arguments is made with. */
export interface PluginHandle {
  readonly api: ApiClient;
  readonly clock?: Clock | undefined;
  /** Absent where pods have no claims, as in some tests. */
  readonly storage?: Storage | undefined;
  readonly assumedVolumes?: AssumedVolumes | undefined;
  readonly budgets?: Pick<Lister<PodDisruptionBudget>, 'list'> | undefined;
  /** The profile's `pluginConfig` by plugin name. */
  readonly args?: ReadonlyMap<string, unknown> | undefined;
}

export type PluginFactory = (handle: PluginHandle) => Plugin;
/** By folder name; the order is the order in which plugins are asked. */
export type PluginRegistry = Readonly<Record<string, PluginFactory>>;
