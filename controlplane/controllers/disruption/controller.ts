import type { OwnerReference, Pod, PodDisruptionBudget } from '#api/gen/types.ts';
import { deployments, podDisruptionBudgets, pods, replicaSets, replicationControllers, statefulSets } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, splitKey } from '#api/meta/object.ts';
import { matchesLabels, requirementsOf } from '#api/meta/selectors.ts';
import { isStatus } from '#common/errors.ts';
import type { ScaleClient } from '../../apiserver/types.ts';
import { execute } from '../execute.ts';
import { ownedIndexes, podIndexes } from '../indexes.ts';
import { controllerOf } from '../owner-refs.ts';
import { Pace } from '../pace.ts';
import { isReady, isTerminating } from '../pod-state.ts';
import { watch, type Change, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { reconcileDisruption, type Wanted } from './reconcile.ts';
import { StaleDisruptions } from './stale-disruptions.ts';

/** Kinds whose sizes the cache knows. */
const known: ReadonlySet<string> = new Set([replicaSets, statefulSets, replicationControllers].map(({ kind }) => kind));

/** How much faster than by one look per pod and millisecond; see `Pace`. */
const podsPerMs = 4;

/** Keeps the status of PodDisruptionBudgets, by which evictions are allowed or refused. Keys are budgets, and pods that were to be disrupted and are there. */
export function disruptionController(deps: ControllerDeps, { autoscaling }: ControllerConfig): Controller {
  const { informers, client, clock } = deps;
  const budgets = informers.informer(podDisruptionBudgets);
  const podLister = informers.informer(pods, podIndexes);
  const sets = informers.informer(replicaSets, ownedIndexes);
  const [deploymentLister, statefulLister, replicationLister] = [informers.informer(deployments), informers.informer(statefulSets), informers.informer(replicationControllers)];

  const pace = new Pace(clock);
  const stale = new StaleDisruptions(deps, podLister);

  function* podChanged({ object, old }: Change<Pod>): Iterable<string> {
    const pod = object ?? old;
    if (object && old && equal(factsOf(object), factsOf(old))) return;
    for (const budget of budgets.list(pod?.metadata?.namespace)) {
      if ([object, old].some((one) => one !== undefined && selects(budget, one))) yield keyOf(budget);
    }
  }

  /** Uid and wanted size of what makes pods of this owner. */
  function scaleOf(namespace: string | undefined, owner: OwnerReference): { uid: string; replicas: number } | undefined {
    const direct = { ReplicaSet: sets, StatefulSet: statefulLister, ReplicationController: replicationLister }[owner.kind]?.get(namespace, owner.name);
    if (direct?.metadata?.uid !== owner.uid) return undefined;
    const above = controllerOf(direct);
    const deployment = above?.kind === deployments.kind ? deploymentLister.get(namespace, above.name) : undefined;
    const top = deployment?.metadata?.uid === above?.uid ? deployment ?? direct : direct;
    return { uid: top.metadata?.uid ?? '', replicas: top.spec?.replicas ?? 1 };
  }

  function wantedOf(own: readonly Pod[], others: ReadonlyMap<string, number>): Wanted {
    const scales = new Map<string, number>();
    let unmanaged = false;
    for (const pod of own) {
      const owner = controllerOf(pod);
      const size = others.get(owner?.uid ?? '');
      const scale = owner && (size === undefined ? scaleOf(pod.metadata?.namespace, owner) : { uid: owner.uid, replicas: size });
      if (owner === undefined) unmanaged = true;
      else if (scale === undefined) return { count: 0, unmanaged, problem: `found no controllers with a scale for pod ${JSON.stringify(pod.metadata?.name ?? '')}` };
      else scales.set(scale.uid, scale.replicas);
    }
    return { count: [...scales.values()].reduce((a, b) => a + b, 0), unmanaged };
  }

  return {
    watches: [
      watch(budgets, ({ object, old }) => {
        if (object === undefined || object.metadata?.generation !== old?.metadata?.generation) pace.forget(keyOf(object ?? old ?? {}));
        return object ? [keyOf(object)] : [];
      }),
      watch(podLister, (change) => [...stale.keys(change), ...pace.awake(podChanged(change))]),
      ...[sets, deploymentLister, statefulLister, replicationLister].map((lister) => ({ synced: (signal: AbortSignal) => lister.synced(signal), subscribe: () => () => undefined })),
    ],
    async reconcile(key) {
      if (stale.isKey(key)) return stale.reconcile(key);
      const { namespace, name } = splitKey(key);
      const budget = budgets.get(namespace, name);
      if (budget === undefined) return undefined;
      const restMs = pace.waitMs(key, (budget.status?.expectedPods ?? 0) / podsPerMs);
      if (restMs > 0) return { afterMs: restMs };
      const own = podLister.list(namespace).filter((pod) => selects(budget, pod));
      const others = typeof budget.spec?.minAvailable === 'number' ? new Map<string, number>() : await otherScales(own, autoscaling?.scales);
      const { actions, status, afterMs } = reconcileDisruption({ budget, pods: own, wanted: () => wantedOf(own, others), nowMs: clock.now() });
      await execute(deps, actions);
      try {
        if (!equal(status, budget.status)) await client.update(podDisruptionBudgets, { ...budget, status }, 'status');
      } catch (error) {
        if (!isStatus(error, 'NotFound')) throw error;
      }
      return { afterMs };
    },
  };
}

/** All of a pod that a budget goes by. */
function factsOf(pod: Pod): unknown {
  return [pod.metadata?.uid, pod.metadata?.labels, isTerminating(pod), isReady(pod), controllerOf(pod)?.uid];
}

function selects({ metadata, spec }: PodDisruptionBudget, pod: Pod): boolean {
  return metadata?.namespace === pod.metadata?.namespace && matchesLabels(requirementsOf(spec?.selector), pod.metadata?.labels);
}

/** By uid, the wanted sizes of owners of other kinds that have a scale: custom resources, above all. */
async function otherScales(own: readonly Pod[], scales: ScaleClient | undefined): Promise<ReadonlyMap<string, number>> {
  const owners = new Map(own.flatMap((pod) => {
    const owner = controllerOf(pod);
    return owner && !known.has(owner.kind) ? [[owner.uid, { owner, namespace: pod.metadata?.namespace ?? '' }] as const] : [];
  }));
  const sizes = new Map<string, number>();
  for (const [uid, { owner, namespace }] of owners) {
    try {
      const scale = await scales?.get(owner, namespace);
      if (scale?.metadata?.uid === uid) sizes.set(uid, scale.spec?.replicas ?? 0);
    } catch (error) {
      if (!isStatus(error, 'NotFound')) throw error;
    }
  }
  return sizes;
}
