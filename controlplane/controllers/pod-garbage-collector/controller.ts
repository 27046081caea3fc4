import { fenceOf } from '#api/disconnect/policy.ts';
import type { Node, Pod } from '#api/gen/types.ts';
import { nodes, pods } from '#api/kinds/resources.ts';
import { isStatus } from '#common/errors.ts';
import { execute } from '../execute.ts';
import { podIndexes } from '../indexes.ts';
import { isTerminating } from '../pod-state.ts';
import { watch, type Controller, type ControllerConfig, type ControllerDeps, type Decision, type ReconcileResult } from '../types.ts';
import { Fences } from './fences.ts';
import { isAway, reconcileMissingNode, reconcileNode } from './reconcile.ts';
import { Silence } from './silence.ts';

/**
 * Removes pods whose node will not say that they ended: it does not exist (any more), was fenced or put out of service,
 * or has been without contact for so long that it has ended them. Keys are names of nodes.
 */
export function podGarbageCollector(deps: ControllerDeps, config: ControllerConfig): Controller {
  const { informers, client, clock, log, attention } = deps;
  const nodeLister = informers.informer(nodes);
  const podLister = informers.informer(pods, podIndexes);
  const silence = new Silence(deps);
  /** A node that was deleted by mistake may register again: it is missed for a while first. */
  const missedSince = new Map<string, number>();
  const fences = new Fences();

  async function exists(name: string): Promise<boolean> {
    try {
      await client.get(nodes, undefined, name);
      return true;
    } catch (error) {
      if (isStatus(error, 'NotFound')) return false;
      throw error;
    }
  }

  async function missing(name: string, orphans: readonly Pod[]): Promise<ReconcileResult | undefined> {
    const since = missedSince.get(name) ?? clock.monotonic();
    missedSince.set(name, since);
    const waitMs = Math.max(since, attention.sinceMs) + config.nodeMonitorGracePeriodMs - clock.monotonic();
    if (waitMs > 0) return { afterMs: waitMs };
    if (await exists(name)) return { afterMs: config.nodeMonitorGracePeriodMs };
    log.info({ node: name, pods: orphans.length }, 'removing pods of a node that does not exist');
    await execute(deps, reconcileMissingNode(orphans, clock.now()));
    return undefined;
  }

  /** Nothing to look for on a node that is well. */
  function concerns(node: Node | undefined): boolean {
    return fenceOf(node) !== undefined || fences.has(node?.metadata?.name ?? '') || (node?.spec?.taints ?? []).some(({ effect }) => effect === 'NoExecute');
  }

  async function decide(node: Node, bound: readonly Pod[]): Promise<Decision> {
    const fenced = fences.podsOf(node, bound, (fence) => { log.warn({ node: node.metadata?.name, fence, pods: bound.length }, 'the node was fenced: removing its pods'); });
    if (!isAway(node, bound)) silence.forget(node.metadata?.name ?? '');
    const silentMs = isAway(node, bound) ? await silence.lookMs(node) : 0;
    return reconcileNode({ node, pods: bound, fenced, silentMs, nowMs: clock.now() });
  }

  return {
    watches: [
      watch(nodeLister, ({ object, old }) => (object === undefined || concerns(object) || concerns(old) ? [(object ?? old)?.metadata?.name ?? ''] : [])),
      watch(podLister, ({ object }) => {
        const name = object?.spec?.nodeName;
        if (!object || !name) return [];
        const node = nodeLister.get(undefined, name);
        return !node || fenceOf(node) !== undefined || (isTerminating(object) && concerns(node)) ? [name] : [];
      }),
    ],
    async reconcile(name) {
      const bound = podLister.by('node', name);
      const node = nodeLister.get(undefined, name);
      if (!node) {
        silence.forget(name);
        fences.forget(name);
        return bound.length > 0 ? missing(name, bound) : void missedSince.delete(name);
      }
      missedSince.delete(name);
      const { actions, afterMs } = await decide(node, bound);
      try {
        await execute(deps, actions);
      } catch (error) {
        // Somebody else was quicker with one of them; the others remain to be done.
        if (!isStatus(error, 'NotFound', 'Conflict')) throw error;
        return { afterMs: 100 };
      }
      return { afterMs };
    },
  };
}
