import { persistentVolumeClaims, pods } from '#api/kinds/resources.ts';
import { keyOf, splitKey } from '#api/meta/object.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { claimsOf, reconcileClaim } from './reconcile.ts';

/** Keeps claims that pods use from going away. */
export function pvcProtection(deps: ControllerDeps): Controller {
  const claims = deps.informers.informer(persistentVolumeClaims);
  const users = deps.informers.informer(pods, { claim: claimsOf });
  return {
    watches: [watch(claims, ({ object }) => (object ? [keyOf(object)] : [])), watch(users, ({ object, old }) => (old && !object ? claimsOf(old) : []))],
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const claim = claims.get(namespace, name);
      if (claim) await execute(deps, reconcileClaim(claim, users.by('claim', key)));
      return undefined;
    },
  };
}
