import type { Namespace, Pod } from '#api/gen/types.ts';
import { apiVersionOf, qualifiedName, type Resource } from '#api/kinds/resources.ts';
import { equal, freeze } from '#api/meta/equal.ts';
import { copyJson } from '#api/meta/json.ts';
import { mergePatch } from '#api/meta/merge-patch.ts';
import { keyOf, objectKey, type KubeList, type KubeObject } from '#api/meta/object.ts';
import type { Clock } from '#common/clock.ts';
import { rfc3339 } from '#common/time.ts';
import { StatusError } from '#common/errors.ts';
import { silentLog } from '#common/log.ts';
import type { ApiClient, DeleteRequest, EventRecorder, PatchType } from '#controlplane/apiserver/types.ts';
import { StoreInformer } from '#controlplane/cache/store-informer.ts';
import type { Indexes, Informer } from '#controlplane/cache/types.ts';

interface Table { readonly resource: Resource; readonly objects: Map<string, KubeObject>; readonly listeners: Set<(key: string, object: KubeObject | undefined) => void> }

export interface FakeApiOptions {
  readonly clock: Clock;
  /** Awaited before and after every request; makes requests interleave. */
  readonly latency?: () => Promise<void>;
  /** Throws to refuse a request. */
  readonly refuse?: (verb: string, resource: Resource, object: KubeObject) => void;
}

/**
 * The API over a Map: versions, compare-and-swap, generations, finalizers, grace periods and watches as the
 * real one has them; no defaults and no validation.
 */
export class FakeApi implements ApiClient {
  readonly recorded: string[] = [];
  /** Counts writes that changed something. */
  revision = 0;
  readonly #tables = new Map<string, Table>();
  readonly #options: FakeApiOptions;
  #uids = 0;

  constructor(options: FakeApiOptions) {
    this.#options = options;
  }

  readonly events = this.recorder('test');

  recorder(component: string): EventRecorder {
    return { event: (about, type, reason, message) => { this.recorded.push(`${component}: ${about.kind}/${about.metadata?.name ?? ''} ${type} ${reason}: ${message}`); } };
  }

  /** At once and for tests: what is there now. */
  all<T extends KubeObject>(resource: Resource<T>): T[] {
    return [...this.#table(resource).objects.values()] as T[];
  }

  find<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): T | undefined {
    return this.#table(resource).objects.get(objectKey(namespace, name)) as T | undefined;
  }

  /** Calls back for every change of the resource from now on. */
  listen(resource: Resource, listener: (key: string, object: KubeObject | undefined) => void): () => void {
    const { listeners } = this.#table(resource);
    listeners.add(listener);
    return () => { listeners.delete(listener); };
  }

  async get<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): Promise<T> {
    await this.#options.latency?.();
    return this.#must(resource, namespace, name);
  }

  async list<T extends KubeObject>(resource: Resource<T>, namespace?: string): Promise<KubeList<T>> {
    await this.#options.latency?.();
    const items = this.all(resource).filter((object) => namespace === undefined || object.metadata?.namespace === namespace);
    return { apiVersion: apiVersionOf(resource), kind: `${resource.kind}List`, metadata: { resourceVersion: String(this.revision) }, items };
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    return this.#request('create', resource, object, () => {
      const next = copyJson(object);
      const uid = `uid-${String(++this.#uids)}`;
      const name = next.metadata?.name ?? `${next.metadata?.generateName ?? ''}${this.#uids.toString(36).padStart(5, 'x')}`;
      if (this.find(resource, next.metadata?.namespace, name)) throw new StatusError('AlreadyExists', `${qualifiedName(resource)} "${name}" already exists`);
      next.metadata = { ...next.metadata, name, uid, generation: 1, creationTimestamp: rfc3339(this.#options.clock.now()) };
      return this.#put(resource, { apiVersion: apiVersionOf(resource), kind: resource.kind, ...next });
    });
  }

  update<T extends KubeObject>(resource: Resource<T>, object: T, subresource?: 'status' | 'finalize'): Promise<T> {
    return this.#request('update', resource, object, () => this.#replace(resource, object, subresource));
  }

  patch<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string, type: PatchType, patch: unknown, subresource?: 'status'): Promise<T> {
    return this.#request('patch', resource, { metadata: { namespace, name } } as T, () => {
      if (type !== 'merge') throw new StatusError('UnsupportedMediaType', 'the fake API knows merge patches only');
      return this.#replace(resource, mergePatch(this.#must(resource, namespace, name), patch) as T, subresource);
    });
  }

  async delete<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string, options: DeleteRequest = {}): Promise<void> {
    await this.#request('delete', resource, { metadata: { namespace, name } } as T, () => { this.#remove(resource, namespace, name, options); });
  }

  bind(namespace: string, podName: string, podUid: string, nodeName: string): Promise<void> {
    const pods: Resource<Pod> = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true };
    return this.#request('bind', pods, { metadata: { namespace, name: podName } }, () => {
      const pod = this.#must(pods, namespace, podName);
      if (pod.metadata?.uid !== podUid || pod.spec?.nodeName) throw new StatusError('Conflict', 'pod cannot be bound');
      this.#put(pods, { ...pod, spec: { containers: [], ...pod.spec, nodeName } });
    });
  }

  async #request<R>(verb: string, resource: Resource, object: KubeObject, work: () => R): Promise<R> {
    await this.#options.latency?.();
    this.#options.refuse?.(verb, resource, object);
    const result = work();
    await this.#options.latency?.();
    return result;
  }

  #replace<T extends KubeObject>(resource: Resource<T>, object: T, subresource: 'status' | 'finalize' | undefined): T {
    const old = this.#must(resource, object.metadata?.namespace, object.metadata?.name ?? '');
    const { resourceVersion, uid } = object.metadata ?? {};
    if ((resourceVersion !== undefined && resourceVersion !== old.metadata?.resourceVersion) || (uid !== undefined && uid !== old.metadata?.uid)) {
      throw new StatusError('Conflict', `${qualifiedName(resource)} "${object.metadata?.name ?? ''}": the object has been modified`);
    }
    const part = (of: KubeObject, field: string): unknown => (of as Record<string, unknown>)[field];
    const next = subresource === 'status'
      ? { ...old, status: part(object, 'status') } as T
      : { ...copyJson(object), ...(part(old, 'status') !== undefined && { status: part(old, 'status') }), metadata: { ...object.metadata, uid: old.metadata?.uid, deletionTimestamp: old.metadata?.deletionTimestamp, creationTimestamp: old.metadata?.creationTimestamp } };
    if (resource.kind === 'Namespace' && subresource !== 'finalize') (next as Namespace).spec = (old as Namespace).spec;
    const changedSpec = !equal(part(next, 'spec'), part(old, 'spec'));
    next.metadata = { ...next.metadata, generation: (old.metadata?.generation ?? 0) + (changedSpec ? 1 : 0), resourceVersion: old.metadata?.resourceVersion };
    if (equal(next, old)) return old;
    const held = (next.metadata.finalizers?.length ?? 0) > 0 || ((next as Namespace).kind === 'Namespace' && ((next as Namespace).spec?.finalizers?.length ?? 0) > 0);
    if (next.metadata.deletionTimestamp !== undefined && !held && !next.metadata.deletionGracePeriodSeconds) return this.#drop(resource, next);
    return this.#put(resource, next);
  }

  #remove(resource: Resource, namespace: string | undefined, name: string, { preconditions, gracePeriodSeconds, propagationPolicy }: DeleteRequest): void {
    const object = this.#must(resource, namespace, name);
    const { uid, resourceVersion } = object.metadata ?? {};
    if ((preconditions?.uid ?? uid) !== uid || (preconditions?.resourceVersion ?? resourceVersion) !== resourceVersion) throw new StatusError('Conflict', 'precondition failed');
    const bound = resource.kind === 'Pod' && (object as Pod).spec?.nodeName !== undefined;
    const grace = bound ? gracePeriodSeconds ?? 30 : 0;
    const policy = propagationPolicy === 'Foreground' ? ['foregroundDeletion'] : propagationPolicy === 'Orphan' ? ['orphan'] : [];
    const finalizers = [...new Set([...object.metadata?.finalizers ?? [], ...policy])];
    const held = finalizers.length > 0 || (resource.kind === 'Namespace' && ((object as Namespace).spec?.finalizers?.length ?? 0) > 0);
    if (grace === 0 && !held) { this.#drop(resource, object); return; }
    if (object.metadata?.deletionTimestamp !== undefined && grace >= (object.metadata.deletionGracePeriodSeconds ?? 0)) return;
    const metadata = { ...object.metadata, ...(finalizers.length > 0 && { finalizers }), deletionTimestamp: rfc3339(this.#options.clock.now() + grace * 1000), deletionGracePeriodSeconds: grace };
    this.#put(resource, { ...object, metadata });
  }

  #must<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): T {
    const object = this.find(resource, namespace, name);
    if (!object) throw new StatusError('NotFound', `${qualifiedName(resource)} "${name}" not found`);
    return object;
  }

  #put<T extends KubeObject>(resource: Resource<T>, object: T): T {
    const next = freeze(copyJson({ ...object, metadata: { ...object.metadata, resourceVersion: String(++this.revision) } }));
    const table = this.#table(resource);
    table.objects.set(keyOf(next), next);
    for (const listener of table.listeners) listener(keyOf(next), next);
    return next;
  }

  #drop<T extends KubeObject>(resource: Resource<T>, object: T): T {
    this.revision += 1;
    const table = this.#table(resource);
    table.objects.delete(keyOf(object));
    for (const listener of table.listeners) listener(keyOf(object), undefined);
    return object;
  }

  #table(resource: Resource): Table {
    const name = qualifiedName(resource);
    let table = this.#tables.get(name);
    if (!table) {
      table = { resource, objects: new Map(), listeners: new Set() };
      this.#tables.set(name, table);
    }
    return table;
  }
}

interface Lagging { readonly informer: StoreInformer<KubeObject>; readonly queue: { key: string; object: KubeObject | undefined }[]; readonly stop: () => void }

/**
 * Informers of a FakeApi. Events of one resource arrive in order; with `lag` they wait until `deliver` lets
 * some of them through, so that resources may be seen in any order between each other, as with real watches.
 */
export class FakeInformers {
  readonly #api: FakeApi;
  readonly #lag: boolean;
  readonly #informers = new Map<string, Lagging>();

  constructor(api: FakeApi, options: { readonly lag: boolean } = { lag: false }) {
    this.#api = api;
    this.#lag = options.lag;
  }

  informer<T extends KubeObject>(resource: Resource<T>, indexes?: Indexes<T>): Informer<T> {
    const name = qualifiedName(resource);
    const entry = this.#informers.get(name) ?? this.#make(resource);
    this.#informers.set(name, entry);
    if (indexes) entry.informer.addIndexes(indexes as Indexes<KubeObject>);
    return entry.informer as unknown as Informer<T>;
  }

  /** Names of resources that have undelivered events. */
  get behind(): string[] {
    return [...this.#informers].filter(([, { queue }]) => queue.length > 0).map(([name]) => name);
  }

  /** Lets `count` events of a resource through. */
  deliver(name: string, count: number): void {
    const entry = this.#informers.get(name);
    for (const { key, object } of entry?.queue.splice(0, count) ?? []) entry?.informer.apply(`x/${key}`, object);
  }

  close(): void {
    for (const { stop } of this.#informers.values()) stop();
  }

  #make(resource: Resource): Lagging {
    const informer = new StoreInformer<KubeObject>({ log: silentLog }, { prefix: 'x/', resource: qualifiedName(resource) });
    informer.replace(new Map(this.#api.all(resource).map((object) => [`x/${keyOf(object)}`, object])));
    const queue: Lagging['queue'] = [];
    const stop = this.#api.listen(resource, (key, object) => {
      if (this.#lag) queue.push({ key, object });
      else informer.apply(`x/${key}`, object);
    });
    return { informer, queue, stop };
  }
}
