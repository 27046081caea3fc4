import { leases, nodes } from '#api/kinds/resources.ts';
import { execute } from '../execute.ts';
import { watch, type Controller, type ControllerDeps } from '../types.ts';
import { reconcileLease } from './reconcile.ts';

/** Removes the leases of deleted nodes; keys are names of nodes. Leases do not outlive the control plane, so there are no others to find. */
export function leaseCleaner(deps: ControllerDeps): Controller {
  const nodeLister = deps.informers.informer(nodes);
  const leaseLister = deps.informers.informer(leases);
  return {
    watches: [
      watch(nodeLister, ({ object, old }) => (object === undefined ? [old?.metadata?.name ?? ''] : [])),
      watch(leaseLister, () => []),
    ],
    async reconcile(name) {
      await execute(deps, reconcileLease(nodeLister.get(undefined, name), leaseLister.get('kube-node-lease', name)));
      return undefined;
    },
  };
}
