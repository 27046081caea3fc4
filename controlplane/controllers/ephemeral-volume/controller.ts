import { persistentVolumeClaims, pods } from '#api/kinds/resources.ts';
import { keyOf, objectKey, splitKey } from '#api/meta/object.ts';
import { isStatus } from '#common/errors.ts';
import { execute, isNamespaceTerminating } from '../execute.ts';
import { controllerOf } from '../owner-refs.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { reconcileEphemeral } from './reconcile.ts';

/** Makes the claims of pods' ephemeral volumes. */
export function ephemeralVolumeController(deps: ControllerDeps): Controller {
  const { informers } = deps;
  const podLister = informers.informer(pods);
  const claims = informers.informer(persistentVolumeClaims);
  return {
    watches: [
      watch(podLister, ({ object, old }) => (object && !old && object.spec?.volumes?.some(({ ephemeral }) => ephemeral) ? [keyOf(object)] : [])),
      // One that is deleted under its pod is made again.
      watch(claims, ({ object, old }) => {
        const owner = old && !object ? controllerOf(old) : undefined;
        return owner?.kind === pods.kind ? [objectKey(old?.metadata?.namespace, owner.name)] : [];
      }),
    ],
    async reconcile(key) {
      const { namespace, name } = splitKey(key);
      const pod = podLister.get(namespace, name);
      if (pod === undefined) return undefined;
      try {
        await execute(deps, reconcileEphemeral(pod, (claim) => claims.get(namespace, claim)));
      } catch (error) {
        if (!isNamespaceTerminating(error) && !isStatus(error, 'AlreadyExists')) throw error;
      }
      return undefined;
    },
  };
}
