import type { Namespace, Node, Pod, PodCondition, PodSpec, Taint } from '#api/gen/types.ts';
import { keyOf, objectKey, type KubeObject } from '#api/meta/object.ts';
import { StatusError } from '#common/errors.ts';
import type { ApiClient, EventRecorder } from '../apiserver/types.ts';
import type { Informer, InformerHandler } from '../cache/types.ts';
import { SchedulerCache } from './cache.ts';
import { podInfo } from './pod-info.ts';
import { CycleState, type NodeInfo, type Plugin, type PodInfo } from './types.ts';

/** Builders and fakes for the tests of the scheduler and its plugins. */

export interface PodOptions {
  readonly name?: string;
  readonly uid?: string;
  readonly namespace?: string;
  readonly labels?: Record<string, string>;
  readonly owner?: string | undefined;
  readonly requests?: Record<string, string>;
  readonly hostPort?: number;
  readonly spec?: Partial<PodSpec>;
  readonly status?: Pod['status'];
}

export function pod(options: PodOptions = {}): Pod {
  const { name = 'p', namespace = 'default', labels, owner, requests, hostPort, spec, status } = options;
  return {
    apiVersion: 'v1', kind: 'Pod',
    metadata: {
      name, namespace, uid: options.uid ?? `uid-${name}`, labels,
      ...(owner !== undefined && { ownerReferences: [{ apiVersion: 'apps/v1', kind: 'ReplicaSet', name: owner, uid: owner, controller: true }] }),
    },
    spec: {
      schedulerName: 'default-scheduler',
      containers: [{
        name: 'c', image: 'app:1',
        ...(requests && { resources: { requests } }),
        ...(hostPort !== undefined && { ports: [{ containerPort: hostPort, hostPort }] }),
      }],
      ...spec,
    },
    ...(status && { status }),
  };
}

export interface NodeOptions {
  readonly labels?: Record<string, string>;
  readonly allocatable?: Record<string, string>;
  readonly taints?: Taint[];
  readonly unschedulable?: boolean;
  readonly images?: { names: string[]; sizeBytes: number }[];
}

export function node(name: string, { labels, allocatable, taints, unschedulable, images }: NodeOptions = {}): Node {
  return {
    apiVersion: 'v1', kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec: { taints, unschedulable },
    status: { allocatable: { cpu: '4', memory: '8Gi', pods: '110', ...allocatable }, images },
  };
}

export interface ClusterOptions {
  readonly nodes: readonly Node[];
  /** Pods by the node they are on. */
  readonly pods?: Readonly<Record<string, readonly Pod[]>>;
  readonly namespaces?: Readonly<Record<string, Record<string, string>>>;
}

export function cluster({ nodes, pods = {}, namespaces = {} }: ClusterOptions): SchedulerCache {
  const cache = new SchedulerCache({
    random: () => 0.99,
    namespaces: { get: (_none, name): Namespace => ({ metadata: { name, labels: namespaces[name] } }) },
  });
  for (const item of nodes) cache.setNode(item);
  for (const [nodeName, list] of Object.entries(pods)) for (const item of list) cache.setPod(podInfo(item), nodeName);
  return cache;
}

/** Reasons by node for the nodes that the plugin refuses; `skip` when it has nothing to say. */
export function filterWith(plugin: Plugin, incoming: Pod, cache: SchedulerCache): Record<string, string> | 'skip' {
  const state = new CycleState();
  const info = podInfo(incoming);
  const prepared = plugin.preFilter?.(info, cache, state);
  if (prepared === 'skip') return 'skip';
  return Object.fromEntries(cache.nodes.flatMap((item) => {
    const rejection = plugin.filter?.(info, item, state);
    return rejection ? [[item.name, rejection.reasons.join('; ')]] : [];
  }));
}

/** Normalized scores by node, rounded; `skip` when the plugin does not score this pod. */
export function scoreWith(plugin: Plugin, incoming: Pod, cache: SchedulerCache): Record<string, number> | 'skip' {
  const state = new CycleState();
  const info: PodInfo = podInfo(incoming);
  const nodes: readonly NodeInfo[] = cache.nodes;
  if (plugin.preScore?.(info, nodes, cache, state) === 'skip') return 'skip';
  const scores = Float64Array.from(nodes, (item) => plugin.score?.(info, item, state) ?? 0);
  plugin.normalize?.(scores, nodes, state);
  return Object.fromEntries(nodes.map((item, i) => [item.name, Math.round(scores[i] ?? NaN)]));
}

/** An informer that shows what it is told to. */
export class FakeInformer<T extends KubeObject> implements Informer<T> {
  readonly #objects = new Map<string, T>();
  readonly #handlers = new Set<InformerHandler<T>>();

  get(namespace: string | undefined, name: string): T | undefined { return this.#objects.get(objectKey(namespace, name)); }
  list(): readonly T[] { return [...this.#objects.values()]; }
  by(): readonly T[] { return []; }
  async synced(): Promise<void> { await Promise.resolve(); }

  subscribe(handler: InformerHandler<T>): () => void {
    this.#handlers.add(handler);
    for (const object of this.#objects.values()) handler({ object, old: undefined });
    return () => { this.#handlers.delete(handler); };
  }

  set(object: T): void {
    const old = this.#objects.get(keyOf(object));
    this.#objects.set(keyOf(object), object);
    for (const handler of this.#handlers) handler({ object, old });
  }

  delete(object: T): void {
    const old = this.#objects.get(keyOf(object));
    if (!this.#objects.delete(keyOf(object))) return;
    for (const handler of this.#handlers) handler({ object: undefined, old });
  }
}

export interface FakeApi extends ApiClient, EventRecorder {
  readonly recorded: { readonly name: string; readonly uid: string; readonly reason: string; readonly message: string }[];
  readonly patches: { readonly name: string; readonly patch: unknown }[];
  /** Pods that were asked to go; they get a deletionTimestamp and stay until somebody takes them out. */
  readonly deleted: string[];
}

/** The API as the scheduler uses it: binds pods of the informer, records events and patches. */
export function fakeApi(pods: FakeInformer<Pod>, beforeBind: (name: string) => Promise<void> = async () => Promise.resolve()): FakeApi {
  const recorded: FakeApi['recorded'] = [];
  const patches: FakeApi['patches'] = [];
  const deleted: FakeApi['deleted'] = [];
  const unused = (): Promise<never> => Promise.reject(new StatusError('MethodNotAllowed', 'not faked'));
  return {
    recorded, patches, deleted,
    event: (about, _type, reason, message) => { recorded.push({ name: about.metadata?.name ?? '', uid: about.metadata?.uid ?? '', reason, message }); },
    list: unused, create: unused, update: unused,
    delete: async (_resource, namespace, name, options) => {
      const found = pods.get(namespace, name);
      const uid = options?.preconditions?.uid;
      if (!found || (uid !== undefined && uid !== found.metadata?.uid)) throw new StatusError('NotFound', `pods "${name}" not found`);
      deleted.push(name);
      pods.set({ ...found, metadata: { ...found.metadata, deletionTimestamp: '2026-01-01T00:00:00Z' } });
      return Promise.resolve();
    },
    get: async <T extends KubeObject>(_resource: unknown, namespace: string | undefined, name: string): Promise<T> => {
      const found = pods.get(namespace, name);
      if (!found) throw new StatusError('NotFound', `pods "${name}" not found`);
      return Promise.resolve(found as unknown as T);
    },
    patch: async <T extends KubeObject>(_resource: unknown, namespace: string | undefined, name: string, _type: unknown, patch: unknown): Promise<T> => {
      const found = pods.get(namespace, name);
      if (!found) throw new StatusError('NotFound', `pods "${name}" not found`);
      patches.push({ name, patch });
      const { conditions = [], ...status } = (patch as Pod).status ?? {};
      const next: Pod = { ...found, status: omitNull({ ...found.status, ...status, conditions: mergeConditions(found.status?.conditions, conditions) }) };
      pods.set(next);
      return Promise.resolve(next as unknown as T);
    },
    bind: async (namespace, name, uid, nodeName) => {
      await beforeBind(name);
      const found = pods.get(namespace, name);
      if (found?.metadata?.uid !== uid) throw new StatusError('NotFound', `pods "${name}" not found`);
      if (found.spec?.nodeName) throw new StatusError('Conflict', `pod ${name} is already assigned to node "${found.spec.nodeName}"`);
      pods.set({ ...found, spec: { containers: [], ...found.spec, nodeName } });
    },
  };
}

function mergeConditions(old: readonly PodCondition[] = [], patch: readonly PodCondition[]): PodCondition[] {
  return [...old.filter(({ type }) => !patch.some((one) => one.type === type)), ...patch];
}

function omitNull<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== null)) as T;
}
