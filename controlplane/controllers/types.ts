import type { APIService } from '#api/gen/types.ts';
import type { Resource } from '#api/kinds/resources.ts';
import type { AddressPool } from '#api/load-balancer/pool.ts';
import type { KubeObject } from '#api/meta/object.ts';
import type { Clock } from '#common/clock.ts';
import type { Log } from '#common/log.ts';
import type { CertificateAuthority } from '#common/pki/certificate.ts';
import type { Authorizer } from '../apiserver/auth/types.ts';
import type { ApiClient, DeleteRequest, EventRecorder, NodeUsage, ScaleClient } from '../apiserver/types.ts';
import type { Indexes, Informer } from '../cache/types.ts';
import type { Attention } from './attention.ts';

/** One informer per resource, shared by all that ask; `cache/informers.ts` is one. */
export interface Informers {
  informer<T extends KubeObject>(resource: Resource<T>, indexes?: Indexes<T>): Informer<T>;
}

export interface ControllerDeps {
  readonly informers: Informers;
  readonly client: ApiClient;
  readonly events: EventRecorder;
  readonly clock: Clock;
  /** Whoever holds silence against nodes asks it first. */
  readonly attention: Attention;
  readonly log: Log;
  /** Yields 0 to 1. */
  readonly random: () => number;
}

/** What some controllers sign with, and whom they ask before they do. */
export interface ClusterCredentials {
  readonly ca: CertificateAuthority;
  /** The token that a Secret of type kubernetes.io/service-account-token holds. */
  readonly tokenForSecret: (namespace: string, account: { readonly name: string; readonly uid: string }, secretName: string) => string;
  readonly authorizer: Authorizer;
}

/** What autoscaling reads and writes beside objects. */
export interface Autoscaling {
  readonly scales: ScaleClient;
  /** What a node's pods use. Rejects when the node does not answer. */
  readonly usage: (nodeName: string, signal: AbortSignal) => Promise<NodeUsage>;
  /** Reads `path` below `/apis/GROUP/VERSION` of the adapter that an APIService names for the group. Rejects when there is none. Absent where there can be none, as in some tests. */
  readonly metrics?: (group: string, path: string, signal: AbortSignal) => Promise<unknown>;
}

/** What is done to volumes on nodes. */
export interface NodeVolumes {
  /** Resolves when the directory is no longer there. Rejects with `ServiceUnavailable` while the node is not connected. */
  readonly remove: (nodeName: string, volume: string, signal: AbortSignal) => Promise<void>;
}

export interface ControllerConfig {
  /** Range that every node's pod range is cut from. */
  readonly podCidr: string;
  /** Prefix length of a node's pod range. */
  readonly nodeCidrMaskSize: number;
  /** Silence after which a node counts as lost. */
  readonly nodeMonitorGracePeriodMs: number;
  /** Most pods that one look at a ReplicaSet creates or deletes. */
  readonly burstReplicas: number;
  /** PEM of the CA that clients in pods trust; published as ConfigMap kube-root-ca.crt. Empty: not published. */
  readonly rootCa: string;
  /** Absent where nothing is signed, as in some tests. */
  readonly credentials?: ClusterCredentials;
  /** Absent where nothing is measured, as in some tests. */
  readonly autoscaling?: Autoscaling;
  /** How Services of type LoadBalancer get addresses: of the pool, or those of the hosts, whose own TCP ports (and whose they are) are not given away. Absent: not from us. */
  readonly loadBalancer?: { readonly reservedPorts: ReadonlyMap<number, string>; readonly pool?: AddressPool };
  /** Whether the cluster serves Ingresses; not when absent. */
  readonly ingress?: boolean;
  /** Absent where there are no nodes to ask, as in some tests. */
  readonly nodeVolumes?: NodeVolumes;
  /** What the garbage collector follows and a namespace's deletion empties; every resource served, Events aside for the former. */
  readonly resources: readonly Resource[];
  /** Throws, with the reason, when the server behind an APIService does not answer; absent where none can be asked, as in some tests. */
  readonly checkApiService?: (apiService: APIService, signal: AbortSignal) => Promise<void>;
  /** Those beside them that come and go with CustomResourceDefinitions; see `every-resource.ts`. */
  readonly custom?: CustomResources;
  /** Those that other servers keep; the client and the informers of the controllers reach them. */
  readonly aggregated?: AggregatedResources;
}

/** What servers behind APIServices keep, as far as it can be followed. */
export interface AggregatedResources extends CustomResources {
  /** Group versions whose server does not say what it keeps. */
  readonly unknown: readonly string[];
}

export interface CustomResources {
  /** Each in every version that is served, the preferred one first. */
  readonly resources: readonly Resource[];
  /** Called after each change. Returns how to unsubscribe. */
  subscribe(listener: () => void): () => void;
}

/** What a reconcile asks of the runner; nothing when it only waits for the next change. */
export interface ReconcileResult {
  /** Look again after this many milliseconds, because something is due then. */
  readonly afterMs?: number | undefined;
}

export interface Change<T extends KubeObject> {
  /** Absent for a delete. */
  readonly object: T | undefined;
  /** Absent for an add. */
  readonly old: T | undefined;
}

/** A resource whose changes put keys into a controller's queue; made with `watch`. */
export interface Watch {
  readonly synced: (signal: AbortSignal) => Promise<void>;
  readonly subscribe: (enqueue: (key: string) => void) => () => void;
}

export interface Controller {
  /** How many keys are worked on at a time; 1 when absent. */
  readonly workers?: number;
  readonly watches: readonly Watch[];
  /** Called once, after all watches have synced and before the first key is worked on. */
  readonly ready?: (enqueue: (key: string) => void) => void;
  /**
   * Brings the world one step nearer to what `key` asks for. Never runs twice at a time for one key.
   * When it throws the key comes back after a growing back-off.
   */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<ReconcileResult | undefined>;
}

export type ControllerFactory = (deps: ControllerDeps, config: ControllerConfig) => Controller;

/** What a pure `reconcile.ts` may ask for; `execute.ts` performs it. */
export type Action =
  | { readonly type: 'create'; readonly resource: Resource; readonly object: KubeObject }
  /** Compare-and-swap on the resourceVersion that `object` carries. */
  | { readonly type: 'update'; readonly resource: Resource; readonly object: KubeObject; readonly subresource?: 'status' | 'approval' }
  /** JSON merge patch. */
  | { readonly type: 'patch'; readonly resource: Resource; readonly namespace: string | undefined; readonly name: string; readonly patch: unknown; readonly subresource?: 'status' }
  /** Only the object with `uid`; one that is gone already is no error. */
  | { readonly type: 'delete'; readonly resource: Resource; readonly object: KubeObject; readonly options?: Omit<DeleteRequest, 'preconditions'> }
  | { readonly type: 'event'; readonly about: KubeObject & { readonly apiVersion: string; readonly kind: string }; readonly severity: 'Normal' | 'Warning'; readonly reason: string; readonly message: string };

/** What a pure reconcile decided. */
export interface Decision extends ReconcileResult {
  readonly actions: readonly Action[];
}

/** A watch on `informer`: `keys` names what a change concerns. It must only note work, never do it. */
export function watch<T extends KubeObject>(informer: Informer<T>, keys: (change: Change<T>) => Iterable<string>): Watch {
  return {
    synced: (signal) => informer.synced(signal),
    subscribe: (enqueue) => informer.subscribe((change) => { for (const key of keys(change)) enqueue(key); }),
  };
}
