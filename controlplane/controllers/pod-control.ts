import type { Pod } from '#api/gen/types.ts';
import { pods, type Resource } from '#api/kinds/resources.ts';
import { objectKey, splitKey, type KubeObject } from '#api/meta/object.ts';
import { messageOf } from '#common/errors.ts';
import type { Lister } from '../cache/types.ts';
import { deleteAsSeen, eventAction, execute, isNamespaceTerminating, type ExecuteDeps } from './execute.ts';
import type { Expectations } from './expectations.ts';
import { controllerOf } from './owner-refs.ts';
import { isTerminating } from './pod-state.ts';
import { slowStart } from './slow-start.ts';
import type { Change } from './types.ts';

export interface PodWork { readonly create: readonly Pod[]; readonly remove: readonly Pod[] }

/** Why pods could not be made or removed. */
export interface PodFailure { readonly reason: 'FailedCreate' | 'FailedDelete'; readonly error: unknown }

/** How far the work got. */
export interface PodOutcome {
  readonly created: number;
  readonly removed: number;
  /** The first. */
  readonly failure?: PodFailure | undefined;
}

/** Makes and removes the pods of one kind of owner, tells of it in Events, and keeps count of what the cache has not shown yet. */
export class PodControl {
  readonly #deps: ExecuteDeps;
  readonly #resource: Resource;
  readonly #owners: Lister<KubeObject>;
  readonly #expectations: Expectations;

  constructor(deps: ExecuteDeps & { readonly expectations: Expectations; readonly owners: Lister<KubeObject> }, resource: Resource) {
    this.#deps = deps;
    this.#resource = resource;
    this.#owners = deps.owners;
    this.#expectations = deps.expectations;
  }

  /** The owners that a change of a pod concerns, as far as they are there. Takes note of what was waited for. */
  * changed(change: Change<Pod>): Iterable<string> {
    for (const key of this.#ownersOf(change)) {
      const { namespace, name } = splitKey(key);
      if (this.#owners.get(namespace, name) !== undefined) yield key;
    }
  }

  * #ownersOf({ object, old }: Change<Pod>): Iterable<string> {
    const key = object && this.#ownerKey(object);
    const oldKey = old && this.#ownerKey(old);
    if (oldKey !== undefined && old && (object === undefined || (isTerminating(object) && !isTerminating(old)))) {
      this.#expectations.deleted(oldKey, old.metadata?.uid ?? '');
    }
    if (key !== undefined && old === undefined) this.#expectations.created(key);
    if (key !== undefined) yield key;
    if (oldKey !== undefined && oldKey !== key) yield oldKey;
  }

  /** Makes pods in growing batches until one fails, then removes others. */
  async perform(key: string, owner: KubeObject, { create, remove }: PodWork, signal: AbortSignal): Promise<PodOutcome> {
    if (create.length === 0 && remove.length === 0) return { created: 0, removed: 0 };
    this.#expectations.expect(key, create.length, remove.map((pod) => pod.metadata?.uid ?? ''));
    const waiting = [...create];
    const { succeeded, error } = await slowStart(create.length, signal, () => this.#create(owner, waiting.shift()));
    // What failed, or was not tried, will not be seen.
    this.#expectations.created(key, create.length - succeeded);
    const results = await Promise.allSettled(remove.map((pod) => this.#delete(key, owner, pod)));
    const failed = results.filter((result) => result.status === 'rejected');
    const removed = results.filter((result) => result.status === 'fulfilled' && result.value).length;
    const failure: PodFailure | undefined = error !== undefined ? { reason: 'FailedCreate', error } : failed[0] && { reason: 'FailedDelete', error: failed[0].reason };
    return { created: succeeded, removed, failure };
  }

  async #create(owner: KubeObject, pod: Pod | undefined): Promise<void> {
    if (pod === undefined) return;
    try {
      const created = await this.#deps.client.create(pods, pod);
      await this.#tell(owner, 'Normal', 'SuccessfulCreate', `Created pod: ${created.metadata?.name ?? ''}`);
    } catch (error) {
      if (!isNamespaceTerminating(error)) await this.#tell(owner, 'Warning', 'FailedCreate', `Error creating: ${messageOf(error)}`);
      throw error;
    }
  }

  async #delete(key: string, owner: KubeObject, pod: Pod): Promise<boolean> {
    try {
      const done = await deleteAsSeen(this.#deps.client, pods, pod);
      if (done) await this.#tell(owner, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata?.name ?? ''}`);
      else this.#expectations.deleted(key, pod.metadata?.uid ?? '');
      return done;
    } catch (error) {
      this.#expectations.deleted(key, pod.metadata?.uid ?? '');
      await this.#tell(owner, 'Warning', 'FailedDelete', `Error deleting: ${messageOf(error)}`);
      throw error;
    }
  }

  async #tell(owner: KubeObject, severity: 'Normal' | 'Warning', reason: string, message: string): Promise<void> {
    await execute(this.#deps, [eventAction(this.#resource, owner, severity, reason, message)]);
  }

  #ownerKey(pod: Pod): string | undefined {
    const owner = controllerOf(pod);
    return owner?.kind === this.#resource.kind ? objectKey(pod.metadata?.namespace, owner.name) : undefined;
  }
}
