import { apiVersionOf, type Resource } from '#api/kinds/resources.ts';
import type { KubeList, KubeObject } from '#api/meta/object.ts';
import type { Clock } from '#common/clock.ts';
import { isAbort, TaskGroup, type Runnable } from '#common/lifecycle.ts';
import type { Log } from '#common/log.ts';
import { Wakeup } from '#common/wakeup.ts';
import type { Indexes, Informer } from '#controlplane/cache/types.ts';
import type { Informers } from '../auth/types.ts';
import type { ApiClient, DeleteRequest, PatchType, User } from '../types.ts';
import type { Aggregated } from './aggregated.ts';
import { isAvailable, type RemoteService } from './api-services.ts';
import { RemoteInformer } from './remote-informer.ts';
import type { RemoteObjects } from './remote-objects.ts';

export interface EverythingDeps {
  readonly aggregated: Aggregated;
  readonly informers: Informers;
  /** The API of this server. */
  readonly client: ApiClient;
  readonly clock: Clock;
  readonly log: Log;
  readonly user: User;
}

/** How old what is known of another server's resources may be before it is asked again. */
const askAgainMs = 60_000;
const followed = ['list', 'watch', 'delete'];

/**
 * What controllers need that look after every object there is: objects of this server and of those behind APIServices by
 * one client, one kind of informer and one list of resources. Where there is no other server nothing of it costs anything.
 */
export class Everything implements ApiClient, Informers, Runnable {
  readonly #deps: EverythingDeps;
  readonly #listeners = new Set<() => void>();
  readonly #informers = new Map<string, RemoteInformer>();
  readonly #wakeups = new Set<Wakeup>();
  readonly #wakeup = new Wakeup();
  readonly #tasks: TaskGroup;
  readonly #running = Promise.withResolvers<AbortSignal>();
  #objects: Promise<RemoteObjects> | undefined;
  #remote: readonly Resource[] = [];
  #unknown: readonly string[] = [];

  constructor(deps: EverythingDeps) {
    this.#deps = deps;
    this.#tasks = new TaskGroup(deps.log);
  }

  /** What other servers keep; see `AggregatedResources` of the controllers. */
  get resources(): readonly Resource[] { return this.#remote; }

  /** Group versions whose server does not say what it serves. */
  get unknown(): readonly string[] { return this.#unknown; }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => { this.#listeners.delete(listener); };
  }

  /** Keeps the list of resources and the copies of their objects. */
  async start(signal: AbortSignal): Promise<void> {
    const { aggregated: { services }, clock } = this.#deps;
    this.#running.resolve(signal);
    let isDue = false;
    const end = services.subscribe(() => { isDue = true; this.#wakeup.notify(); for (const wakeup of this.#wakeups) wakeup.notify(); });
    try {
      while (!signal.aborted) {
        isDue = false;
        await this.#discover();
        const cancel = services.remotes.length > 0 ? clock.after(askAgainMs, () => { this.#wakeup.notify(); }) : undefined;
        // A change while they were asked must not wait for the next one.
        if (!isDue) await this.#wakeup.wait(signal).finally(() => cancel?.());
      }
    } catch (error) {
      if (!isAbort(error, signal)) throw error;
    } finally {
      end();
      await this.#tasks.drain();
    }
  }

  async #discover(): Promise<void> {
    const { aggregated } = this.#deps;
    const { remotes } = aggregated.services;
    if (remotes.length === 0 && this.#remote.length === 0 && this.#unknown.length === 0) return;
    const { documents } = await aggregated.load();
    const found: Resource[] = [];
    const unknown: string[] = [];
    for (const remote of remotes) {
      const { group, version } = remote;
      const { resources, isCurrent } = await documents.resources(remote);
      if (!isCurrent) unknown.push(apiVersionOf(remote));
      for (const { name, kind, namespaced, verbs } of resources) if (!name.includes('/') && followed.every((verb) => verbs.includes(verb))) found.push({ group, version, plural: name, kind, namespaced });
    }
    this.#unknown = unknown;
    if (JSON.stringify(found) === JSON.stringify(this.#remote)) return;
    this.#remote = found;
    for (const listener of this.#listeners) listener();
  }

  informer<T extends KubeObject>(resource: Resource<T>, indexes?: Indexes<T>): Informer<T> {
    const { group, version } = resource;
    if (this.#deps.aggregated.services.remote(group, version) === undefined) return this.#deps.informers.informer(resource, indexes);
    const informer = this.#informers.get(`${group}/${version}/${resource.plural}`) ?? this.#follow(resource as unknown as Resource);
    if (indexes) informer.addIndexes(indexes as unknown as Indexes<KubeObject>);
    return informer as unknown as Informer<T>;
  }

  /** Its copy is kept for good: there are few, and what nobody serves is empty. */
  #follow(resource: Resource): RemoteInformer {
    const { aggregated: { services }, clock, log } = this.#deps;
    const wakeup = new Wakeup();
    this.#wakeups.add(wakeup);
    const service = (): RemoteService | 'unavailable' | undefined => {
      const remote = services.remote(resource.group, resource.version);
      return remote && !isAvailable(remote) ? 'unavailable' : remote;
    };
    const informer = new RemoteInformer({ objects: () => this.#load(), clock, log, service, changed: (signal) => wakeup.wait(signal) }, resource);
    this.#informers.set(`${apiVersionOf(resource)}/${resource.plural}`, informer);
    void this.#running.promise.then((signal) => { this.#tasks.run(`objects of ${apiVersionOf(resource)}`, signal, () => informer.run(signal)); });
    return informer;
  }

  #load(): Promise<RemoteObjects> {
    this.#objects ??= (async () => {
      const [{ RemoteObjects }, aggregation] = await Promise.all([import('./remote-objects.ts'), this.#deps.aggregated.load()]);
      return new RemoteObjects(aggregation.backends, this.#deps.user);
    })();
    return this.#objects;
  }

  /** `there` with the other server's objects where one answers for the resource, else `here`. */
  async #at<R>({ group, version }: Resource, here: (client: ApiClient) => Promise<R>, there: (objects: RemoteObjects, remote: RemoteService) => Promise<unknown>): Promise<R> {
    const remote = this.#deps.aggregated.services.remote(group, version);
    return remote ? await there(await this.#load(), remote) as R : here(this.#deps.client);
  }

  get<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string): Promise<T> {
    return this.#at(resource, (client) => client.get(resource, namespace, name), (objects, remote) => objects.get(remote, resource, namespace, name));
  }

  list<T extends KubeObject>(resource: Resource<T>, namespace?: string, options: { labelSelector?: string; fieldSelector?: string } = {}): Promise<KubeList<T>> {
    return this.#at(resource, (client) => client.list(resource, namespace, options), async (objects, remote) => {
      const { items, resourceVersion } = await objects.list(remote, resource, namespace, { ...options });
      return { apiVersion: apiVersionOf(resource), kind: `${resource.kind}List`, metadata: { resourceVersion }, items };
    });
  }

  create<T extends KubeObject>(resource: Resource<T>, object: T): Promise<T> {
    return this.#at(resource, (client) => client.create(resource, object), (objects, remote) => objects.create(remote, resource, object));
  }

  update<T extends KubeObject>(resource: Resource<T>, object: T, subresource?: 'status' | 'finalize' | 'approval'): Promise<T> {
    return this.#at(resource, (client) => client.update(resource, object, subresource), (objects, remote) => objects.update(remote, resource, object, subresource));
  }

  patch<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string, type: PatchType, patch: unknown, subresource?: 'status'): Promise<T> {
    return this.#at(resource, (client) => client.patch(resource, namespace, name, type, patch, subresource),
      (objects, remote) => objects.patch(remote, resource, { namespace, name, subresource }, { type: type === 'strategic' ? 'strategic-merge' : type, body: patch }));
  }

  delete<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined, name: string, options: DeleteRequest = {}): Promise<void> {
    return this.#at(resource, (client) => client.delete(resource, namespace, name, options), (objects, remote) => objects.delete(remote, resource, namespace, name, options));
  }

  bind(namespace: string, podName: string, podUid: string, nodeName: string): Promise<void> {
    return this.#deps.client.bind(namespace, podName, podUid, nodeName);
  }
}
