import { persistentVolumes } from '#api/kinds/resources.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { reconcileVolume } from './reconcile.ts';

/** Keeps volumes that claims are bound to from going away. */
export function pvProtection(deps: ControllerDeps): Controller {
  const volumes = deps.informers.informer(persistentVolumes);
  return {
    watches: [watch(volumes, ({ object }) => (object?.metadata?.name === undefined ? [] : [object.metadata.name]))],
    async reconcile(name) {
      const volume = volumes.get(undefined, name);
      if (volume) await execute(deps, reconcileVolume(volume));
      return undefined;
    },
  };
}
