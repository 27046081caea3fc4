import { jobs } from '#api/kinds/resources.ts';
import { keyOf, splitKey } from '#api/meta/object.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { reconcileTtl } from './reconcile.ts';

/** Removes finished Jobs whose time to live is over. */
export function ttlAfterFinishedController(deps: ControllerDeps): Controller {
  const lister = deps.informers.informer(jobs);
  return {
    watches: [watch(lister, ({ object }) => (object?.spec?.ttlSecondsAfterFinished === undefined ? [] : [keyOf(object)]))],
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const job = lister.get(namespace, name);
      if (job === undefined) return undefined;
      const decision = reconcileTtl(job, deps.clock.now());
      await execute(deps, decision.actions);
      return decision;
    },
  };
}
