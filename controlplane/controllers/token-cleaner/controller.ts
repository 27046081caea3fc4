import { secrets } from '#api/kinds/resources.ts';
import { keyOf, splitKey } from '#api/meta/object.ts';
import { timeFloor } from '#common/pki/validity.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { reconcileToken, tokenNamespace, tokenType } from './reconcile.ts';

/** Removes join tokens whose time is over. */
export function tokenCleaner(deps: ControllerDeps): Controller {
  const lister = deps.informers.informer(secrets);
  return {
    watches: [watch(lister, ({ object }) => (object?.type === tokenType && object.metadata?.namespace === tokenNamespace ? [keyOf(object)] : []))],
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const secret = lister.get(namespace, name);
      if (secret === undefined) return undefined;
      // By the same clock as who takes the token: nobody finds it gone that would still have been let in.
      const decision = reconcileToken(secret, timeFloor(deps.clock.now()));
      await execute(deps, decision.actions);
      return decision;
    },
  };
}
