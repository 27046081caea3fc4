import type { Deployment, Pod, ReplicaSet } from '#api/gen/types.ts';
import { deployments, pods, replicaSets } from '#api/kinds/resources.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { eventAction, execute, isNamespaceTerminating } from '../execute.ts';
import { Expectations } from '../expectations.ts';
import { ownedIndexes, podIndexes } from '../indexes.ts';
import { controllerOf, isControlledBy } from '../owner-refs.ts';
import { watch, type Action, type Change, type Controller, type ControllerDeps, type ReconcileResult } from '../types.ts';
import { isRollingUpdate } from './limits.ts';
import { reconcileDeployment, type DeploymentSnapshot } from './reconcile.ts';
import { createFailedStatus } from './status.ts';
import { sameTemplate } from './template.ts';

/** Keeps Deployments: their ReplicaSets, rollouts, revisions and status. */
class DeploymentController implements Controller {
  readonly workers = 4;
  readonly watches;
  readonly #deps: ControllerDeps;
  readonly #deployments;
  readonly #sets;
  readonly #pods;
  /** A size is computed from the sizes of all ReplicaSets: one look waits until it sees what the last one wrote. */
  readonly #expectations: Expectations;

  constructor(deps: ControllerDeps) {
    this.#deps = deps;
    this.#deployments = deps.informers.informer(deployments);
    this.#sets = deps.informers.informer(replicaSets, ownedIndexes);
    this.#pods = deps.informers.informer(pods, podIndexes);
    this.#expectations = new Expectations(deps);
    this.watches = [
      watch(this.#deployments, ({ object, old }) => {
        const deployment = object ?? old;
        if (!deployment) return [];
        if (object?.metadata?.uid !== old?.metadata?.uid) this.#expectations.forget(keyOf(deployment));
        return [keyOf(deployment)];
      }),
      watch(this.#sets, (change) => this.#setChanged(change)),
      watch(this.#pods, ({ object, old }) => (object === undefined && old ? this.#waitingFor(old) : [])),
    ];
  }

  async reconcile(key: string): Promise<ReconcileResult | undefined> {
    const { namespace, name } = splitKey(key);
    const deployment = this.#deployments.get(namespace, name);
    if (deployment === undefined) return undefined;
    const waitMs = this.#expectations.remainingMs(key);
    if (waitMs > 0) return { afterMs: waitMs };
    const decision = reconcileDeployment(this.#snapshot(deployment));
    const ours = decision.actions.filter((action) => action.type !== 'event' && action.resource === replicaSets);
    if (ours.length > 0) this.#expectations.expect(key, ours.filter((a) => a.type === 'create').length, ours.flatMap((a) => seenAs(a)));
    for (const [i, action] of decision.actions.entries()) {
      try {
        await this.#perform(key, action);
      } catch (error) {
        for (const undone of decision.actions.slice(i)) this.#settle(key, undone);
        if (action.type !== 'create') throw error;
        await this.#createFailed(deployment, action.object.metadata?.name ?? '', error);
        return undefined;
      }
    }
    return decision;
  }

  async #perform(key: string, action: Action): Promise<void> {
    if (action.type !== 'update') return execute(this.#deps, [action]);
    const { metadata } = await this.#deps.client.update(action.resource, action.object, action.subresource);
    // A write that changed nothing is not seen.
    if (metadata?.resourceVersion === action.object.metadata?.resourceVersion) this.#expectations.deleted(key, versionOf(action.object));
  }

  /** An action that was not carried out will not be seen. */
  #settle(key: string, action: Action): void {
    if (action.type === 'event' || action.resource !== replicaSets) return;
    if (action.type === 'create') this.#expectations.created(key);
    for (const id of seenAs(action)) this.#expectations.deleted(key, id);
  }

  #snapshot(deployment: Deployment): DeploymentSnapshot {
    const { namespace = '', uid = '' } = deployment.metadata ?? {};
    const owned = this.#sets.by('controller', uid);
    const running = isRollingUpdate(deployment) ? [] : owned.flatMap((set) => this.#pods.by('controller', set.metadata?.uid ?? ''));
    return { deployment, replicaSets: [...owned, ...this.#sets.by('orphan', namespace)], pods: running, nowMs: this.#deps.clock.now() };
  }

  *#setChanged({ object, old }: Change<ReplicaSet>): Iterable<string> {
    const keys = new Set([...this.#ownersOf(object), ...this.#ownersOf(old)]);
    for (const key of keys) {
      if (old === undefined) this.#expectations.created(key);
      else this.#expectations.deleted(key, versionOf(old));
      if (object === undefined || object.metadata?.deletionTimestamp !== undefined) this.#expectations.deleted(key, old?.metadata?.uid ?? '');
      yield key;
    }
  }

  *#ownersOf(set: ReplicaSet | undefined): Iterable<string> {
    if (set === undefined) return;
    const namespace = set.metadata?.namespace;
    const owner = controllerOf(set);
    if (owner !== undefined) {
      if (owner.kind === deployments.kind) yield objectKey(namespace, owner.name);
      return;
    }
    for (const deployment of this.#deployments.list(namespace)) {
      if (matchesLabels(requirementsOf(deployment.spec?.selector), set.metadata?.labels)) yield keyOf(deployment);
    }
  }

  /** Only Recreate waits for pods; a rolling update sees all it needs in the ReplicaSets' status. */
  *#waitingFor(pod: Pod): Iterable<string> {
    const namespace = pod.metadata?.namespace;
    const owner = controllerOf(pod);
    const set = owner?.kind === replicaSets.kind ? this.#sets.get(namespace, owner.name) : undefined;
    const deployment = this.#deployments.get(namespace, (set && controllerOf(set)?.name) ?? '');
    if (deployment && !isRollingUpdate(deployment)) yield keyOf(deployment);
  }

  async #createFailed(deployment: Deployment, name: string, error: unknown): Promise<void> {
    if (isNamespaceTerminating(error)) return;
    if (isStatus(error, 'AlreadyExists')) {
      await this.#nameTaken(deployment, name);
    } else {
      const message = `Failed to create new replica set "${name}": ${messageOf(error)}`;
      await execute(this.#deps, [eventAction(deployments, deployment, 'Warning', 'ReplicaSetCreateError', message)]);
      const status = createFailedStatus(deployment, message, this.#deps.clock.now());
      await this.#deps.client.update(deployments, { ...deployment, status }, 'status');
    }
    throw error;
  }

  /** Another ReplicaSet may have the hash's name: count a collision, so that the next look takes another name. */
  async #nameTaken(deployment: Deployment, name: string): Promise<void> {
    const other = await this.#deps.client.get(replicaSets, deployment.metadata?.namespace, name);
    if (isControlledBy(other, deployment.metadata?.uid) && sameTemplate(other.spec?.template, deployment.spec?.template)) return;
    const status = { ...deployment.status, collisionCount: (deployment.status?.collisionCount ?? 0) + 1 };
    await this.#deps.client.update(deployments, { ...deployment, status }, 'status');
  }
}

/** An update is seen when the cache has moved on from the version it was made from, a delete when the object is gone. */
function seenAs(action: Action): string[] {
  if (action.type === 'update') return [versionOf(action.object)];
  return action.type === 'delete' ? [action.object.metadata?.uid ?? ''] : [];
}

function versionOf(set: { metadata?: ReplicaSet['metadata'] }): string {
  return `${set.metadata?.uid ?? ''}@${set.metadata?.resourceVersion ?? ''}`;
}

export function deploymentController(deps: ControllerDeps): Controller {
  return new DeploymentController(deps);
}
