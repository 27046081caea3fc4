import type { Pod, ReplicaSet } from '#api/gen/types.ts';
import { pods, type Resource } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, objectKey, splitKey, type KubeObject } from '#api/meta/object.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import type { Indexes } from '../cache/types.ts';
import { deleteObject, eventAction, execute, isNamespaceTerminating } from './execute.ts';
import { Expectations } from './expectations.ts';
import { ownedIndexes, podIndexes } from './indexes.ts';
import { controllerOf } from './owner-refs.ts';
import { podFromTemplate } from './pod-from-template.ts';
import { isTerminating } from './pod-state.ts';
import { watch, type Change, type Controller, type ControllerConfig, type ControllerDeps, type ReconcileResult } from './types.ts';
import { nextAvailableInMs, planReplicaSet, replicaSetStatus, type ReplicaFailure, type ReplicaSetPlan } from './replica-plan.ts';
import { slowStart } from './slow-start.ts';

/** A kind that keeps a number of pods: a ReplicaSet, or what can be seen as one. */
export interface ReplicaKind<T extends KubeObject> {
  readonly resource: Resource<T>;
  /** As a ReplicaSet, with the object's own metadata and status. */
  readonly view: (object: T) => ReplicaSet;
}

/** Keeps each object of one kind at its number of pods. */
export class ReplicaManager<T extends KubeObject> implements Controller {
  readonly workers = 4;
  readonly watches;
  readonly #kind: ReplicaKind<T>;
  readonly #deps: ControllerDeps;
  readonly #config: ControllerConfig;
  readonly #sets;
  readonly #pods;
  readonly #expectations: Expectations;

  constructor(kind: ReplicaKind<T>, deps: ControllerDeps, config: ControllerConfig) {
    this.#kind = kind;
    this.#deps = deps;
    this.#config = config;
    this.#sets = deps.informers.informer(kind.resource, ownedIndexes as Indexes<T>);
    this.#pods = deps.informers.informer(pods, podIndexes);
    this.#expectations = new Expectations(deps.clock);
    this.watches = [
      watch(this.#sets, ({ object, old }) => {
        const set = object ?? old;
        if (!set) return [];
        if (!object || (old && old.metadata?.uid !== object.metadata?.uid)) this.#expectations.forget(keyOf(set));
        return [keyOf(set)];
      }),
      watch(this.#pods, (change) => this.#podChanged(change)),
    ];
  }

  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | undefined> {
    const { namespace, name } = splitKey(key);
    const object = this.#sets.get(namespace, name);
    if (object === undefined) return undefined;
    const set = this.#kind.view(object);
    const nowMs = this.#deps.clock.now();
    // Before the plan and without a wait in between: what the plan was made from must be what is judged here.
    const waitMs = this.#expectations.remainingMs(key);
    const plan = planReplicaSet({
      resource: this.#kind.resource, replicaSet: set,
      pods: [...this.#pods.by('controller', set.metadata?.uid ?? ''), ...this.#pods.by('orphan', namespace ?? '')],
      siblings: () => this.#siblings(set), nowMs, burst: this.#config.burstReplicas,
    });
    for (const pod of plan.claims) await this.#deps.client.update(pods, pod);
    // The status is exact or not written: a rollout counts on it when it decides how many more pods there may be.
    if (waitMs > 0) return { afterMs: waitMs };
    const failure = await this.#manage(key, set, plan, signal);
    await this.#writeStatus(object, set, plan.active, failure && describe(failure));
    if (failure !== undefined && !isNamespaceTerminating(failure.error)) throw failure.error;
    return { afterMs: nextAvailableInMs(set, plan.active, nowMs) };
  }

  async #manage(key: string, set: ReplicaSet, plan: ReplicaSetPlan, signal: AbortSignal): Promise<Failure | undefined> {
    if (plan.create > 0) {
      this.#expectations.expect(key, plan.create);
      const { succeeded, error } = await slowStart(plan.create, signal, () => this.#create(set));
      // What failed, or was not tried, will not be seen.
      this.#expectations.created(key, plan.create - succeeded);
      return error === undefined ? undefined : { reason: 'FailedCreate', error };
    }
    if (plan.remove.length === 0) return undefined;
    this.#expectations.expect(key, 0, plan.remove.map((pod) => pod.metadata?.uid ?? ''));
    const results = await Promise.allSettled(plan.remove.map((pod) => this.#delete(key, set, pod)));
    const failed = results.find((result) => result.status === 'rejected');
    return failed && { reason: 'FailedDelete', error: failed.reason };
  }

  async #create(set: ReplicaSet): Promise<void> {
    try {
      const pod = await this.#deps.client.create(pods, podFromTemplate(this.#kind.resource, set, set.spec?.template));
      await execute(this.#deps, [eventAction(this.#kind.resource, set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata?.name ?? ''}`)]);
    } catch (error) {
      if (!isNamespaceTerminating(error)) await execute(this.#deps, [eventAction(this.#kind.resource, set, 'Warning', 'FailedCreate', `Error creating: ${messageOf(error)}`)]);
      throw error;
    }
  }

  async #delete(key: string, set: ReplicaSet, pod: Pod): Promise<void> {
    const name = pod.metadata?.name ?? '';
    try {
      if (await deleteObject(this.#deps.client, pods, pod)) {
        await execute(this.#deps, [eventAction(this.#kind.resource, set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${name}`)]);
      } else {
        this.#expectations.deleted(key, pod.metadata?.uid ?? '');
      }
    } catch (error) {
      this.#expectations.deleted(key, pod.metadata?.uid ?? '');
      await execute(this.#deps, [eventAction(this.#kind.resource, set, 'Warning', 'FailedDelete', `Error deleting: ${messageOf(error)}`)]);
      throw error;
    }
  }

  async #writeStatus(object: T, set: ReplicaSet, active: readonly Pod[], failure: ReplicaFailure | undefined): Promise<void> {
    const status = replicaSetStatus(set, active, failure, this.#deps.clock.now());
    if (equal(status, withoutEmpty(set.status))) return;
    try {
      await this.#deps.client.update(this.#kind.resource, { ...object, status }, 'status');
    } catch (error) {
      if (!isStatus(error, 'NotFound')) throw error;
    }
  }

  #siblings(set: ReplicaSet): readonly Pod[] {
    const owner = controllerOf(set)?.uid;
    const sets: readonly KubeObject[] = owner === undefined ? [set] : this.#sets.by('controller', owner);
    return sets.flatMap((s) => this.#pods.by('controller', s.metadata?.uid ?? ''));
  }

  *#podChanged({ object, old }: Change<Pod>): Iterable<string> {
    const key = object && this.#ownerKey(object);
    const oldKey = old && this.#ownerKey(old);
    if (oldKey !== undefined && old && (object === undefined || (isTerminating(object) && !isTerminating(old)))) {
      this.#expectations.deleted(oldKey, old.metadata?.uid ?? '');
    }
    if (key !== undefined && old === undefined) this.#expectations.created(key);
    if (key !== undefined) yield key;
    if (oldKey !== undefined && oldKey !== key) yield oldKey;
    if (object && controllerOf(object) === undefined) yield* this.#adopters(object);
  }

  #ownerKey(pod: Pod): string | undefined {
    const owner = controllerOf(pod);
    return owner?.kind === this.#kind.resource.kind ? objectKey(pod.metadata?.namespace, owner.name) : undefined;
  }

  *#adopters(pod: Pod): Iterable<string> {
    for (const set of this.#sets.list(pod.metadata?.namespace)) {
      if (matchesLabels(requirementsOf(this.#kind.view(set).spec?.selector), pod.metadata?.labels)) yield keyOf(set);
    }
  }
}

interface Failure { readonly reason: ReplicaFailure['reason']; readonly error: unknown }

function describe(failure: Failure): ReplicaFailure {
  return { reason: failure.reason, message: messageOf(failure.error) };
}

function withoutEmpty(status: ReplicaSet['status']): ReplicaSet['status'] {
  return status?.conditions?.length === 0 ? { ...status, conditions: undefined } : status;
}
