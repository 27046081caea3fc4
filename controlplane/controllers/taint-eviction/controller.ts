import type { Node, Pod, Taint } from '#api/gen/types.ts';
import { isReplaced } from '#api/disconnect/policy.ts';
import { nodes, pods } from '#api/kinds/resources.ts';
import { getCondition } from '#api/meta/conditions.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, splitKey } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import { execute } from '../execute.ts';
import { podIndexes } from '../indexes.ts';
import { isActive, isTerminating } from '../pod-state.ts';
import { watch, type Action, type Change, type Controller, type ControllerConfig, type ControllerDeps, type ReconcileResult } from '../types.ts';
import { actionOnReturn, cancelled, isOfHealth, leave, stayMs } from './reconcile.ts';

/** Evicts pods from nodes with NoExecute taints that they do not tolerate, or no longer, and carries out disconnect policies. */
export function taintEvictionController(deps: ControllerDeps, config: ControllerConfig): Controller {
  const { informers, clock, attention } = deps;
  const nodeLister = informers.informer(nodes);
  const podLister = informers.informer(pods, podIndexes);
  /** Since when each pod has been seen with such taints, or replaced and its host back: by key, for one uid. */
  const since = new Map<string, { uid: string | undefined; returned: boolean; at: number }>();
  let startedAt = clock.monotonic();

  function* nodeChanged({ object, old }: Change<Node>): Iterable<string> {
    const onNode = podLister.by('node', (object ?? old)?.metadata?.name ?? '');
    if (!object || !equal(noExecute(object), noExecute(old))) for (const pod of onNode) yield keyOf(pod);
    else if (isWell(object) && !isWell(old)) for (const pod of onNode) if (isReplaced(pod)) yield keyOf(pod);
  }

  /** Pods come and go all the time: only those on a tainted node, or known from one, are looked at. */
  function podChanged({ object, old }: Change<Pod>): string[] {
    const pod = object ?? old;
    if (!pod) return [];
    const key = keyOf(pod);
    return since.has(key) || isReplaced(pod) || noExecute(nodeLister.get(undefined, pod.spec?.nodeName ?? '')).length > 0 ? [key] : [];
  }

  function sinceWhen(key: string, pod: Pod, returned: boolean): number {
    const known = since.get(key);
    if (known && known.uid === pod.metadata?.uid && known.returned === returned) return known.at;
    const at = clock.monotonic();
    since.set(key, { uid: pod.metadata?.uid, returned, at });
    return at;
  }

  async function perform(actions: readonly Action[]): Promise<ReconcileResult | undefined> {
    try {
      await execute(deps, actions);
      return undefined;
    } catch (error) {
      // Gone, or another pod of that name: either is news that the cache is about to bring.
      if (!isStatus(error, 'NotFound', 'Conflict')) throw error;
      return { afterMs: 1000 };
    }
  }

  /** A pod that another stands in for, and whose host is well again. */
  async function returned(key: string, pod: Pod): Promise<ReconcileResult | undefined> {
    // While this process was stopped nobody could say that the pod is ready.
    const sinceMs = Math.max(sinceWhen(key, pod, true), startedAt, attention.sinceMs);
    const { actions, afterMs } = actionOnReturn(pod, clock.monotonic() - sinceMs, clock.now());
    if (actions.length === 0) return { afterMs };
    since.delete(key);
    return perform(actions);
  }

  return {
    watches: [watch(nodeLister, nodeChanged), watch(podLister, podChanged)],
    ready(enqueue) {
      startedAt = clock.monotonic();
      for (const node of nodeLister.list()) for (const key of nodeChanged({ object: node, old: undefined })) enqueue(key);
    },
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const pod = podLister.get(namespace, name);
      const node = nodeLister.get(undefined, pod?.spec?.nodeName ?? '');
      const taints = noExecute(node);
      if (pod === undefined || isTerminating(pod)) {
        since.delete(key);
        return undefined;
      }
      if (isReplaced(pod) && isActive(pod) && isWell(node) && !taints.some(isOfHealth)) return returned(key, pod);
      if (taints.length === 0) {
        if (since.delete(key)) await execute(deps, [cancelled(pod)]);
        return undefined;
      }
      const stay = stayMs(pod, taints);
      if (stay === Infinity) { since.delete(key); return undefined; }
      // Taints of health may be out of date for as long as nobody could report.
      const earliest = taints.some(isOfHealth) ? Math.max(startedAt, attention.sinceMs) + config.nodeMonitorGracePeriodMs : 0;
      const waitMs = Math.max(sinceWhen(key, pod, false) + stay, earliest) - clock.monotonic();
      return waitMs > 0 ? { afterMs: waitMs } : perform(leave(pod, taints, clock.now()));
    },
  };
}

/** Without taints alone it need not be: nobody is evicted while every node is lost. */
function isWell(node: Node | undefined): boolean {
  return getCondition(node?.status?.conditions, 'Ready')?.status === 'True';
}

function noExecute(node: Node | undefined): Taint[] {
  return (node?.spec?.taints ?? []).filter((taint) => taint.effect === 'NoExecute');
}
