import { nodes, pods } from '#api/kinds/resources.ts';
import { isStatus } from '#common/errors.ts';
import { execute } from '../execute.ts';
import { podIndexes } from '../indexes.ts';
import { watch, type Controller, type ControllerConfig, type ControllerDeps } from '../types.ts';
import { reconcileMissingNode } from './reconcile.ts';

/** Removes pods that are bound to a node that does not exist (any more). Keys are names of nodes. */
export function podGarbageCollector(deps: ControllerDeps, config: ControllerConfig): Controller {
  const { informers, client, clock, log } = deps;
  const nodeLister = informers.informer(nodes);
  const podLister = informers.informer(pods, podIndexes);
  /** A node that was deleted by mistake may register again: it is missed for a while first. */
  const missedSince = new Map<string, number>();

  async function exists(name: string): Promise<boolean> {
    try {
      await client.get(nodes, undefined, name);
      return true;
    } catch (error) {
      if (isStatus(error, 'NotFound')) return false;
      throw error;
    }
  }

  return {
    watches: [
      watch(nodeLister, ({ object, old }) => (object === undefined ? [old?.metadata?.name ?? ''] : [])),
      watch(podLister, ({ object }) => {
        const name = object?.spec?.nodeName;
        return name && !nodeLister.get(undefined, name) ? [name] : [];
      }),
    ],
    async reconcile(name) {
      const orphans = podLister.by('node', name);
      if (orphans.length === 0 || nodeLister.get(undefined, name)) {
        missedSince.delete(name);
        return undefined;
      }
      const since = missedSince.get(name) ?? clock.monotonic();
      missedSince.set(name, since);
      const waitMs = since + config.nodeMonitorGracePeriodMs - clock.monotonic();
      if (waitMs > 0) return { afterMs: waitMs };
      if (await exists(name)) return { afterMs: config.nodeMonitorGracePeriodMs };
      log.info({ node: name, pods: orphans.length }, 'removing pods of a node that does not exist');
      await execute(deps, reconcileMissingNode(orphans));
      return undefined;
    },
  };
}
