import type { Deployment, Pod, ReplicaSet } from '#api/gen/types.ts';
import { deployments, pods, replicaSets } from '#api/kinds/resources.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { isStatus, messageOf } from '#common/errors.ts';
import { eventAction, execute, isNamespaceTerminating } from '../execute.ts';
import { controllerOf, isControlledBy } from '../owner-refs.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { isRollingUpdate } from './limits.ts';
import { reconcileDeployment, type DeploymentSnapshot } from './reconcile.ts';
import { createFailedStatus } from './status.ts';
import { sameTemplate } from './template.ts';

/** Keeps Deployments: their ReplicaSets, rollouts, revisions and status. */
export function deploymentController(deps: ControllerDeps): Controller {
  const { informers, client, clock } = deps;
  const lister = informers.of(deployments);
  const setLister = informers.of(replicaSets);
  const podLister = informers.of(pods);

  function* ownersOf(set: ReplicaSet | undefined): Iterable<string> {
    if (set === undefined) return;
    const namespace = set.metadata?.namespace;
    const owner = controllerOf(set);
    if (owner !== undefined) {
      if (owner.kind === deployments.kind) yield objectKey(namespace, owner.name);
      return;
    }
    for (const deployment of lister.list(namespace)) {
      if (matchesLabels(requirementsOf(deployment.spec?.selector), set.metadata?.labels)) yield keyOf(deployment);
    }
  }

  /** Only Recreate waits for pods; a rolling update sees all it needs in the ReplicaSets' status. */
  function* waitingFor(pod: Pod | undefined): Iterable<string> {
    const owner = pod && controllerOf(pod);
    if (!pod || owner?.kind !== replicaSets.kind) return;
    const set = setLister.get(pod.metadata?.namespace, owner.name);
    const deployment = set && controllerOf(set);
    if (!deployment) return;
    const found = lister.get(pod.metadata?.namespace, deployment.name);
    if (found && !isRollingUpdate(found)) yield keyOf(found);
  }

  function snapshot(deployment: Deployment): DeploymentSnapshot {
    const { namespace = '', uid = '' } = deployment.metadata ?? {};
    const owned = setLister.by('controller', uid);
    const running = isRollingUpdate(deployment) ? [] : owned.flatMap((set) => podLister.by('controller', set.metadata?.uid ?? ''));
    return { deployment, replicaSets: [...owned, ...setLister.by('orphan', namespace)], pods: running, nowMs: clock.now() };
  }

  /** Another ReplicaSet may have the hash's name: count a collision, so that the next look takes another name. */
  async function nameTaken(deployment: Deployment, name: string): Promise<void> {
    const other = await client.get(replicaSets, deployment.metadata?.namespace, name);
    const ours = isControlledBy(other, deployment.metadata?.uid) && sameTemplate(other.spec?.template, deployment.spec?.template);
    if (ours) return;
    const status = { ...deployment.status, collisionCount: (deployment.status?.collisionCount ?? 0) + 1 };
    await client.update(deployments, { ...deployment, status }, 'status');
  }

  async function createFailed(deployment: Deployment, name: string, error: unknown): Promise<void> {
    if (isNamespaceTerminating(error)) return;
    if (isStatus(error, 'AlreadyExists')) {
      await nameTaken(deployment, name);
    } else {
      const message = `Failed to create new replica set "${name}": ${messageOf(error)}`;
      await execute(deps, [eventAction(deployments, deployment, 'Warning', 'ReplicaSetCreateError', message)]);
      await client.update(deployments, { ...deployment, status: createFailedStatus(deployment, message, clock.now()) }, 'status');
    }
    throw error;
  }

  return {
    workers: 4,
    watches: [
      watch(lister, ({ object, old }) => { const d = object ?? old; return d ? [keyOf(d)] : []; }),
      watch(setLister, function* ({ object, old }) {
        yield* ownersOf(object);
        if (!object || controllerOf(object)?.uid !== (old && controllerOf(old)?.uid)) yield* ownersOf(old);
      }),
      watch(podLister, ({ object, old }) => (object === undefined ? waitingFor(old) : [])),
    ],
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const deployment = lister.get(namespace, name);
      if (deployment === undefined) return undefined;
      const decision = reconcileDeployment(snapshot(deployment));
      for (const action of decision.actions) {
        try {
          await execute(deps, [action]);
        } catch (error) {
          if (action.type !== 'create') throw error;
          await createFailed(deployment, action.object.metadata?.name ?? '', error);
          return undefined;
        }
      }
      return decision;
    },
  };
}
