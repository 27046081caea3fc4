import { certificateSigningRequests } from '#api/kinds/resources.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { reconcileCleaning } from './reconcile.ts';

/** Removes certificate signing requests that are old; keys are their names. */
export function certificateCleaner(deps: ControllerDeps): Controller {
  const lister = deps.informers.informer(certificateSigningRequests);
  return {
    watches: [watch(lister, ({ object }) => (object ? [object.metadata?.name ?? ''] : []))],
    async reconcile(name) {
      const { actions, afterMs } = reconcileCleaning(lister.get(undefined, name), deps.clock.now());
      await execute(deps, actions);
      return { afterMs };
    },
  };
}
