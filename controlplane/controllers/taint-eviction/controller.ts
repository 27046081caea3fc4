import type { Node, Pod, Taint } from '#api/gen/types.ts';
import { nodes, pods } from '#api/kinds/resources.ts';
import { equal } from '#api/meta/equal.ts';
import { keyOf, splitKey } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import { execute } from '../execute.ts';
import { podIndexes } from '../indexes.ts';
import { isTerminating } from '../pod-state.ts';
import { watch, type Change, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { cancelled, evict, stayMs } from './reconcile.ts';

/** Taints that say that a node is ill: after a start they may be out of date for as long as nobody could report. */
const healthTaints: ReadonlySet<string> = new Set(['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']);

/** Evicts pods from nodes with NoExecute taints that they do not tolerate, or no longer. */
export function taintEvictionController(deps: ControllerDeps, config: ControllerConfig): Controller {
  const { informers, clock } = deps;
  const nodeLister = informers.informer(nodes);
  const podLister = informers.informer(pods, podIndexes);
  /** Since when each pod has been seen with such taints: by key, for one uid. */
  const since = new Map<string, { uid: string | undefined; at: number }>();
  let startedAt = clock.monotonic();

  function* nodeChanged({ object, old }: Change<Node>): Iterable<string> {
    if (object && equal(noExecute(object), noExecute(old))) return;
    for (const pod of podLister.by('node', (object ?? old)?.metadata?.name ?? '')) yield keyOf(pod);
  }

  /** Pods come and go all the time: only those on a tainted node, or known from one, are looked at. */
  function podChanged({ object, old }: Change<Pod>): string[] {
    const pod = object ?? old;
    if (!pod) return [];
    const key = keyOf(pod);
    return since.has(key) || noExecute(nodeLister.get(undefined, pod.spec?.nodeName ?? '')).length > 0 ? [key] : [];
  }

  function sinceWhen(key: string, pod: Pod): number {
    const known = since.get(key);
    if (known && known.uid === pod.metadata?.uid) return known.at;
    const at = clock.monotonic();
    since.set(key, { uid: pod.metadata?.uid, at });
    return at;
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
      const taints = noExecute(nodeLister.get(undefined, pod?.spec?.nodeName ?? ''));
      if (pod === undefined || isTerminating(pod) || taints.length === 0) {
        if (since.delete(key) && pod !== undefined && !isTerminating(pod)) await execute(deps, [cancelled(pod)]);
        return undefined;
      }
      const stay = stayMs(pod, taints);
      if (stay === Infinity) { since.delete(key); return undefined; }
      const earliest = taints.some((taint) => healthTaints.has(taint.key)) ? startedAt + config.nodeMonitorGracePeriodMs : 0;
      const waitMs = Math.max(sinceWhen(key, pod) + stay, earliest) - clock.monotonic();
      if (waitMs > 0) return { afterMs: waitMs };
      try {
        await execute(deps, evict(pod, clock.now()));
      } catch (error) {
        // Gone, or another pod of that name: either is news that the cache is about to bring.
        if (!isStatus(error, 'NotFound', 'Conflict')) throw error;
        return { afterMs: 1000 };
      }
      return undefined;
    },
  };
}

function noExecute(node: Node | undefined): Taint[] {
  return (node?.spec?.taints ?? []).filter((taint) => taint.effect === 'NoExecute');
}
