import { replacesAnnotation } from '#api/disconnect/policy.ts';
import type { Pod, ReplicaSet } from '#api/gen/types.ts';
import { pods, type Resource } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, splitKey, type KubeObject } from '#api/meta/object.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import type { Indexes } from '../cache/types.ts';
import { isNamespaceTerminating } from './execute.ts';
import { Expectations } from './expectations.ts';
import { ownedIndexes, podIndexes } from './indexes.ts';
import { controllerOf, withMetadata } from './owner-refs.ts';
import { Pace } from './pace.ts';
import { PodControl, type PodFailure } from './pod-control.ts';
import { podFromTemplate } from './pod-from-template.ts';
import { watch, type Change, type Controller, type ControllerConfig, type ControllerDeps, type ReconcileResult } from './types.ts';
import { nextAvailableInMs, planReplicaSet, replicaSetStatus, type ReplicaFailure } from './replica-plan.ts';

/** A kind that keeps a number of pods: a ReplicaSet, or what can be seen as one. */
export interface ReplicaKind<T extends KubeObject> {
  readonly resource: Resource<T>;
  /** As a ReplicaSet, with the object's own metadata and status. */
  readonly view: (object: T) => ReplicaSet;
}

/** How much faster than by one look per pod and millisecond; see `Pace`. */
const podsPerMs = 4;

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
  readonly #control: PodControl;
  readonly #pace: Pace;

  constructor(kind: ReplicaKind<T>, deps: ControllerDeps, config: ControllerConfig) {
    this.#kind = kind;
    this.#deps = deps;
    this.#config = config;
    this.#sets = deps.informers.informer(kind.resource, ownedIndexes as Indexes<T>);
    this.#pods = deps.informers.informer(pods, podIndexes);
    this.#expectations = new Expectations(deps);
    this.#pace = new Pace(deps.clock);
    this.#control = new PodControl({ ...deps, expectations: this.#expectations, owners: this.#sets }, kind.resource);
    this.watches = [
      watch(this.#sets, ({ object, old }) => {
        const set = object ?? old;
        if (!set) return [];
        if (!object || (old && old.metadata?.uid !== object.metadata?.uid)) this.#expectations.forget(keyOf(set));
        if (object?.metadata?.generation !== old?.metadata?.generation) this.#pace.forget(keyOf(set));
        return [keyOf(set)];
      }),
      watch(this.#pods, (change) => this.#pace.awake(this.#podChanged(change))),
    ];
  }

  async reconcile(key: string, signal: AbortSignal): Promise<ReconcileResult | undefined> {
    const { namespace, name } = splitKey(key);
    const object = this.#sets.get(namespace, name);
    if (object === undefined) return undefined;
    const set = this.#kind.view(object);
    // A look counts all pods, and writes what a rollout goes by: a Deployment's steps become fewer and larger, not slower.
    const restMs = this.#pace.waitMs(key, this.#pods.by('controller', set.metadata?.uid ?? '').length / podsPerMs);
    if (restMs > 0) return { afterMs: restMs };
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
    const create = Array.from({ length: plan.create }, (_, i) => standingInFor(plan.standInsFor[i], podFromTemplate(this.#kind.resource, set, set.spec?.template)));
    const { failure } = await this.#control.perform(key, set, { create, remove: plan.remove }, signal);
    await this.#writeStatus(object, set, plan.active, failure && describe(failure));
    if (failure !== undefined && !isNamespaceTerminating(failure.error)) throw failure.error;
    return { afterMs: nextAvailableInMs(set, plan.active, nowMs) };
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

  *#podChanged(change: Change<Pod>): Iterable<string> {
    yield* this.#control.changed(change);
    if (change.object && controllerOf(change.object) === undefined) yield* this.#adopters(change.object);
  }

  *#adopters(pod: Pod): Iterable<string> {
    for (const set of this.#sets.list(pod.metadata?.namespace)) {
      if (matchesLabels(requirementsOf(this.#kind.view(set).spec?.selector), pod.metadata?.labels)) yield keyOf(set);
    }
  }
}

function standingInFor(uid: string | undefined, pod: Pod): Pod {
  return uid === undefined ? pod : withMetadata(pod, { annotations: { ...pod.metadata?.annotations, [replacesAnnotation]: uid } });
}

function describe({ reason, error }: PodFailure): ReplicaFailure {
  return { reason, message: messageOf(error) };
}

function withoutEmpty(status: ReplicaSet['status']): ReplicaSet['status'] {
  return status?.conditions?.length === 0 ? { ...status, conditions: undefined } : status;
}
