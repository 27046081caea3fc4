import type { Node, PersistentVolume, PersistentVolumeClaim, Pod, StorageClass } from '#api/gen/types.ts';
import type { LabelRequirement } from '#api/meta/selectors.ts';
import type { Clock } from '#common/clock.ts';
import type { ApiClient } from '../apiserver/types.ts';
import type { Informer, Lister } from '../cache/types.ts';

/**
 * The scheduling framework: what a plugin sees and what it may do, in the shape of
 * https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/.
 *
 * One cycle is synchronous: PreFilter, Filter, PostFilter, PreScore, Score, Reserve. The binding that follows
 * (PreBind, Bind) is asynchronous and runs beside later cycles, which see the pod as assumed.
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
  readonly affinity: AffinityTerms;
  readonly antiAffinity: AffinityTerms;
}

/** A node and the sum of what is on it, assumed pods included. */
export interface NodeInfo {
  readonly name: string;
  readonly node: Node;
  readonly labels: Readonly<Record<string, string>>;
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
  node(name: string): NodeInfo | undefined;
  /** Classes with at least one pod on a node, in one namespace. */
  classesIn(namespace: string): Iterable<PodClass>;
  classesOf(ownerUid: string): Iterable<PodClass>;
  classes(): Iterable<PodClass>;
  /** Classes that have affinity or anti-affinity terms of their own, required or preferred. */
  classesWithAffinity(): Iterable<PodClass>;
  /** Nodes that have the image under this name. */
  nodesWithImage(image: string): number;
  /** True when any node has the label. */
  hasLabelKey(key: string): boolean;
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
export type ClusterEvent =
  | 'node-added' | 'node-allocatable-changed' | 'node-labels-changed' | 'node-taints-changed'
  | 'assigned-pod-added' | 'assigned-pod-updated' | 'assigned-pod-deleted'
  /** A claim, a volume or a storage class. */
  | 'storage-changed';

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

export interface PostFilterResult {
  /** The node on which room is being made; the pod is tried again when that is done. */
  readonly nominatedNode?: string;
  /** Appended to the pod's FailedScheduling message. */
  readonly message: string;
}

/**
 * A plugin: a name and any of the extension points. All but PreBind and Bind are synchronous and must not
 * change what they are given, `state` excepted. A plugin never throws to refuse: it returns a Rejection.
 */
export interface Plugin {
  /** Kubernetes' name where there is one, such as `NodeResourcesFit`. */
  readonly name: string;
  /** Events after which a pod that this plugin refused is worth another try. */
  readonly events: readonly ClusterEvent[];
  /** Multiplies Score; 1 when absent. */
  readonly weight?: number;
  /** A refusal keeps the pod out of the active queue; asked again when the pod changes. */
  preEnqueue?(pod: PodInfo): Rejection | undefined;
  preFilter?(pod: PodInfo, snapshot: Snapshot, state: CycleState): PreFilterResult;
  filter?(pod: PodInfo, node: NodeInfo, state: CycleState): Rejection | undefined;
  /** Called when no node passed; the first plugin that nominates a node ends the round. */
  postFilter?(pod: PodInfo, rejections: ReadonlyMap<NodeInfo, Rejection>, snapshot: Snapshot, state: CycleState): PostFilterResult | undefined;
  /** `skip`: Score would be the same for all nodes. */
  preScore?(pod: PodInfo, nodes: readonly NodeInfo[], snapshot: Snapshot, state: CycleState): 'skip' | undefined;
  /** Any number; after `normalize` it must be 0 to 100, higher is better. */
  score?(pod: PodInfo, node: NodeInfo, state: CycleState): number;
  /** Brings the scores, in the order of PreScore's nodes, to 0 to 100, in place. */
  normalize?(scores: Float64Array, nodes: readonly NodeInfo[], state: CycleState): void;
  /** Takes what the plugin keeps outside the cache. Undone by `unreserve`, which must be idempotent. */
  reserve?(pod: PodInfo, nodeName: string, state: CycleState): Rejection | undefined;
  unreserve?(pod: PodInfo, nodeName: string, state: CycleState): void;
  /** Waits for approval or prepares the node (volumes). A rejected promise puts the pod back into the queue. */
  preBind?(pod: PodInfo, nodeName: string, state: CycleState, signal: AbortSignal): Promise<void>;
  /** Resolves with false when it leaves this pod to the next plugin with Bind. */
  bind?(pod: PodInfo, nodeName: string, signal: AbortSignal): Promise<boolean>;
}

/** What a plugin that needs more than its arguments is made with. */
/** What there is to mount. */
export interface Storage {
  readonly claims: Informer<PersistentVolumeClaim>;
  readonly volumes: Informer<PersistentVolume>;
  readonly classes: Lister<StorageClass>;
  readonly clock: Clock;
}

export interface PluginHandle {
  readonly api: ApiClient;
  /** Absent where pods have no claims, as in some tests. */
  readonly storage?: Storage | undefined;
}

export type PluginFactory = (handle: PluginHandle) => Plugin;
/** By folder name; the order is the order in which plugins are asked. */
export type PluginRegistry = Readonly<Record<string, PluginFactory>>;
