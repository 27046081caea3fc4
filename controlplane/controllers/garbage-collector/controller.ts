import type { OwnerReference } from '#api/gen/types.ts';
import { apiVersionOf, qualifiedName, type Resource } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, splitKey, type KubeObject } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import type { Informer } from '../../cache/types.ts';
import { currentResources, watchEveryResource } from '../every-resource.ts';
import { execute } from '../execute.ts';
import type { Action, Change, Controller, ControllerConfig, ControllerDeps, ReconcileResult } from '../types.ts';
import { OwnerGraph } from './owner-graph.ts';
import { reconcileOwnership, waitsForDependents, type Member, type OwnerState } from './reconcile.ts';

interface Known { readonly followed: ReadonlyMap<string, Followed>; readonly byKind: ReadonlyMap<string, Followed> }
interface Followed { readonly resource: Resource; readonly informer: Informer<KubeObject> }

/** Deletes what has lost its owners, and carries out foreground deletion and orphaning. Keys are `resource|namespace/name`. */
class GarbageCollector implements Controller {
  readonly workers = 4;
  readonly watches;
  readonly #deps: ControllerDeps;
  readonly #graph = new OwnerGraph();
  readonly #config: ControllerConfig;
  #known: Known | undefined;
  #enqueue: (key: string) => void = () => undefined;

  constructor(deps: ControllerDeps, config: ControllerConfig) {
    this.#deps = deps;
    this.#config = config;
    for (const changing of [config.custom, config.aggregated]) changing?.subscribe(() => { this.#known = undefined; });
    // Events are many, short-lived and owned by nobody.
    this.watches = [watchEveryResource(deps.informers, config, (resource) => resource.kind !== 'Event', (resource, change) => this.#changed(resource, change))];
  }

  /** What is followed, by resource and by the names of its kind in every version. */
  get #all(): Known {
    if (this.#known) return this.#known;
    const resources = currentResources(this.#config).filter((resource) => resource.kind !== 'Event');
    const followed = new Map(resources.map((resource) => [qualifiedName(resource), { resource, informer: this.#deps.informers.informer(resource) }]));
    const versions = [...this.#config.resources, ...this.#config.custom?.resources ?? [], ...this.#config.aggregated?.resources ?? []];
    const byKind = new Map(versions.flatMap((resource) => {
      const one = followed.get(qualifiedName(resource));
      return one ? [[kindKey(apiVersionOf(resource), resource.kind), one] as const] : [];
    }));
    return this.#known = { followed, byKind };
  }

  ready(enqueue: (key: string) => void): void {
    this.#enqueue = enqueue;
  }

  async reconcile(key: string): Promise<ReconcileResult | undefined> {
    const member = this.#find(key);
    if (member === undefined) return undefined;
    const dependentKeys = this.#graph.dependentsOf(member.object.metadata?.uid);
    const owners = await Promise.all((member.object.metadata?.ownerReferences ?? []).map(async (reference) => ({ reference, state: await this.#ownerState(member.object, reference) })));
    // Thousands may depend on it, and nearly always nobody asks for them.
    const matters = member.object.metadata?.deletionTimestamp !== undefined || owners.some(({ state }) => state !== 'present');
    const actions = reconcileOwnership({ ...member, owners, dependents: matters ? dependentKeys.flatMap((k) => this.#find(k) ?? []) : [] });
    await this.#execute(actions);
    // Those that go already need nobody: with thousands of them the end of each would bring back all others.
    if (waitsForDependents(member.object)) for (const dependent of dependentKeys) if (this.#find(dependent)?.object.metadata?.deletionTimestamp === undefined) this.#enqueue(dependent);
    return undefined;
  }

  async #execute(actions: readonly Action[]): Promise<void> {
    for (const action of actions) {
      try {
        if (action.type === 'delete') await this.#delete(action);
        else await execute(this.#deps, [action]);
      } catch (error) {
        if (!isStatus(error, 'NotFound')) throw error;
      }
    }
  }

  /** Only while the object is as it was judged: its owners may have changed since. */
  async #delete({ resource, object, options }: Extract<Action, { type: 'delete' }>): Promise<void> {
    const { namespace, name = '', uid = '', resourceVersion = '' } = object.metadata ?? {};
    await this.#deps.client.delete(resource, namespace, name, { ...options, preconditions: { uid, resourceVersion } });
    this.#deps.log.debug({ resource: qualifiedName(resource), namespace, name }, 'deleted an object whose owners are gone');
  }

  #find(key: string): Member | undefined {
    const bar = key.indexOf('|');
    const followed = this.#all.followed.get(key.slice(0, bar));
    const { namespace, name } = splitKey(key.slice(bar + 1));
    const object = followed?.informer.get(namespace, name);
    return followed && object && { resource: followed.resource, object };
  }

  /** The cache may be behind: only the API's own word makes an owner absent. */
  async #ownerState(dependent: KubeObject, reference: OwnerReference): Promise<OwnerState> {
    const followed = this.#all.byKind.get(kindKey(reference.apiVersion, reference.kind));
    if (followed === undefined) return 'unknown';
    const { resource, informer } = followed;
    const namespace = resource.namespaced ? dependent.metadata?.namespace : undefined;
    if (resource.namespaced && namespace === undefined) {
      await this.#elsewhere(dependent, followed, reference);
      return 'unknown';
    }
    const cached = informer.get(namespace, reference.name);
    if (cached?.metadata?.uid === reference.uid) return waitsForDependents(cached) ? 'deleting' : 'present';
    try {
      const live = await this.#deps.client.get(resource, namespace, reference.name);
      if (live.metadata?.uid !== reference.uid) return await this.#elsewhere(dependent, followed, reference);
      return waitsForDependents(live) ? 'deleting' : 'present';
    } catch (error) {
      if (isStatus(error, 'NotFound')) return this.#elsewhere(dependent, followed, reference);
      throw error;
    }
  }

  /** An owner in another namespace is none. Whoever wrote that is told, because the object goes for it. */
  async #elsewhere(dependent: KubeObject, { resource, informer }: Followed, { apiVersion, kind, name, uid }: OwnerReference): Promise<'absent'> {
    const { namespace } = dependent.metadata ?? {};
    const other = resource.namespaced ? informer.list().find(({ metadata }) => metadata?.uid === uid) : undefined;
    if (other === undefined || other.metadata?.namespace === namespace) return 'absent';
    const about = { ...dependent, apiVersion: dependent.apiVersion ?? '', kind: dependent.kind ?? '' };
    await execute(this.#deps, [{ type: 'event', about, severity: 'Warning', reason: 'OwnerRefInvalidNamespace', message: `ownerRef [${apiVersion}/${kind}, namespace: ${namespace ?? ''}, name: ${name}, uid: ${uid}] does not exist in namespace ${JSON.stringify(namespace ?? '')}` }]);
    return 'absent';
  }

  *#changed(resource: Resource, { object, old }: Change<KubeObject>): Iterable<string> {
    const changed = object ?? old;
    if (changed === undefined) return;
    const key = graphKey(resource, changed);
    if (object === undefined) {
      this.#graph.remove(key);
      yield* this.#concerned(changed);
      return;
    }
    // The same name with another uid: what depended on the first has lost it.
    if (old && old.metadata?.uid !== object.metadata?.uid) yield* this.#concerned(old);
    if (old && !this.#matters(object, old)) return;
    this.#graph.set(key, (object.metadata?.ownerReferences ?? []).map(({ uid }) => uid));
    if (object.metadata?.ownerReferences !== undefined || object.metadata?.deletionTimestamp !== undefined) yield key;
    // An owner that waits may have waited for this one, which was let go.
    if (old) yield* this.#ownerKeys(old);
  }

  #matters(object: KubeObject, old: KubeObject): boolean {
    const facts = ({ metadata }: KubeObject): unknown => [metadata?.uid, metadata?.ownerReferences, metadata?.finalizers, metadata?.deletionTimestamp];
    return !equal(facts(object), facts(old));
  }

  /** Those that depended on an object that is gone, and those that it depended on. */
  *#concerned(gone: KubeObject): Iterable<string> {
    yield* this.#graph.dependentsOf(gone.metadata?.uid);
    yield* this.#ownerKeys(gone);
  }

  *#ownerKeys(dependent: KubeObject): Iterable<string> {
    for (const reference of dependent.metadata?.ownerReferences ?? []) {
      const owner = this.#all.byKind.get(kindKey(reference.apiVersion, reference.kind));
      if (!owner) continue;
      const namespace = owner.resource.namespaced ? dependent.metadata?.namespace : undefined;
      yield graphKey(owner.resource, { metadata: { namespace, name: reference.name } });
    }
  }
}

function graphKey(resource: Resource, object: KubeObject): string {
  return `${qualifiedName(resource)}|${keyOf(object)}`;
}

function kindKey(apiVersion: string, kind: string): string {
  return `${apiVersion}/${kind}`;
}

export function garbageCollector(deps: ControllerDeps, config: ControllerConfig): Controller {
  return new GarbageCollector(deps, config);
}
