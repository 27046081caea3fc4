import { randomUUID } from 'node:crypto';
import { freeze } from '#api/meta/equal.ts';
import { isRecord } from '#api/meta/json.ts';
import { keyOf, objectKey, type KubeList, type KubeObject } from '#api/meta/object.ts';
import { configMaps, endpointSlices, namespaces, networkPolicies, nodes, pods, runtimeClasses, qualifiedName, secrets, services, type Resource } from '#api/kinds/resources.ts';
import { StatusError } from '#common/errors.ts';
import type { ApiClient, DeleteRequest, PatchType } from '#controlplane/apiserver/types.ts';
import type { Informer, InformerHandler } from '#controlplane/cache/types.ts';

/** A control plane's API and informers in memory: just enough truth for the edge (revisions, conflicts, merge patches). */
export class FakeCluster implements ApiClient {
  readonly #objects = new Map<string, Map<string, KubeObject>>();
  readonly #handlers = new Map<string, Set<InformerHandler<KubeObject>>>();
  #revision = 0;
  /** `update pods/status default/web`, in order. */
  readonly writes: string[] = [];
  /** Thrown by the next calls, first in first out. */
  readonly failures: StatusError[] = [];

  readonly informers = {
    pods: this.#informer(pods), secrets: this.#informer(secrets), configMaps: this.#informer(configMaps),
    services: this.#informer(services), endpointSlices: this.#informer(endpointSlices), nodes: this.#informer(nodes),
    runtimeClasses: this.#informer(runtimeClasses),
    networkPolicies: this.#informer(networkPolicies), namespaces: this.#informer(namespaces),
  };

  /** Puts an object as it is; for arranging. */
  put<T extends KubeObject>(resource: Resource<T>, object: T): T {
    return this.#store(resource, { ...object, metadata: { uid: randomUUID(), ...object.metadata } });
  }

  remove(resource: Resource, namespace: string | undefined, name: string): void {
    const map = this.#map(resource);
    const old = map.get(objectKey(namespace, name));
    map.delete(objectKey(namespace, name));
    if (old) for (const handler of this.#handlers.get(qualifiedName(resource)) ?? []) handler({ object: undefined, old });
  }

  find<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): T | undefined {
    return this.#map(resource).get(objectKey(namespace, name)) as T | undefined;
  }

  async get<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): Promise<T> {
    await this.#turn();
    const object = this.find(resource, namespace, name);
    if (!object) throw new StatusError('NotFound', `${qualifiedName(resource)} "${name}" not found`);
    return object;
  }

  async list<T extends KubeObject>(resource: Resource<T>, namespace?: string): Promise<KubeList<T>> {
    await this.#turn();
    const items = [...this.#map(resource).values()].filter((o) => namespace === undefined || o.metadata?.namespace === namespace) as T[];
    return { apiVersion: 'v1', kind: `${resource.kind}List`, metadata: {}, items };
  }

  async create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    await this.#turn();
    if (this.#map(resource).has(keyOf(object))) throw new StatusError('AlreadyExists', `${keyOf(object)} already exists`);
    this.writes.push(`create ${qualifiedName(resource)} ${keyOf(object)}`);
    return this.put(resource, object);
  }

  async update<T extends KubeObject>(resource: Resource<T>, object: T, subresource?: 'status'): Promise<T> {
    const { namespace, name = '' } = object.metadata ?? {};
    const old = await this.get(resource, namespace, name);
    const { resourceVersion } = object.metadata ?? {};
    if (resourceVersion !== undefined && resourceVersion !== old.metadata?.resourceVersion) throw new StatusError('Conflict', 'the object has been modified');
    this.writes.push(`update ${qualifiedName(resource)}${subresource ? '/status' : ''} ${keyOf(object)}`);
    return this.#store(resource, subresource ? { ...old, status: (object as { status?: unknown }).status } : { ...object, metadata: { ...old.metadata, ...object.metadata } });
  }

  async patch<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string, _type: PatchType, patch: unknown): Promise<T> {
    const old = await this.get(resource, namespace, name);
    this.writes.push(`patch ${qualifiedName(resource)} ${objectKey(namespace, name)}`);
    return this.#store(resource, merge(old, patch) as T);
  }

  async delete<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string, options: DeleteRequest = {}): Promise<void> {
    const old = await this.get(resource, namespace, name);
    if (options.preconditions?.uid !== undefined && options.preconditions.uid !== old.metadata?.uid) throw new StatusError('Conflict', 'the uid differs');
    this.writes.push(`delete ${qualifiedName(resource)} ${objectKey(namespace, name)}`);
    this.remove(resource, namespace, name);
  }

  bind(): Promise<void> {
    return Promise.reject(new StatusError('MethodNotAllowed', 'not here'));
  }

  async #turn(): Promise<void> {
    await Promise.resolve();
    const failure = this.failures.shift();
    if (failure) throw failure;
  }

  #map(resource: Resource): Map<string, KubeObject> {
    const name = qualifiedName(resource);
    let map = this.#objects.get(name);
    if (!map) this.#objects.set(name, map = new Map());
    return map;
  }

  #store<T extends KubeObject>(resource: Resource<T>, object: T): T {
    const stored = freeze(structuredClone({ ...object, metadata: { ...object.metadata, resourceVersion: String(++this.#revision) } }));
    const map = this.#map(resource);
    const old = map.get(keyOf(object));
    map.set(keyOf(object), stored);
    for (const handler of this.#handlers.get(qualifiedName(resource)) ?? []) handler({ object: stored, old });
    return stored;
  }

  #informer<T extends KubeObject>(resource: Resource<T>): Informer<T> {
    return {
      get: (namespace, name) => this.find(resource, namespace, name),
      list: (namespace) => [...this.#map(resource).values()].filter(({ metadata }) => namespace === undefined || metadata?.namespace === namespace) as T[],
      by: (_index, value) => ([...this.#map(resource).values()] as (T & { spec?: { nodeName?: string } })[]).filter((o) => o.spec?.nodeName === value),
      synced: () => Promise.resolve(),
      subscribe: (handler) => {
        const handlers = this.#handlers.get(qualifiedName(resource)) ?? new Set();
        this.#handlers.set(qualifiedName(resource), handlers.add(handler as InformerHandler<KubeObject>));
        for (const object of this.#map(resource).values()) handler({ object: object as T, old: undefined });
        return () => { handlers.delete(handler as InformerHandler<KubeObject>); };
      },
    };
  }
}

function merge(old: unknown, patch: unknown): unknown {
  if (!isRecord(old) || !isRecord(patch)) return patch;
  const merged: Record<string, unknown> = { ...old };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else merged[key] = merge(merged[key], value);
  }
  return merged;
}
